// expect: ivado: a Loss needs `static constexpr std::string_view name`
#include <ivado/ivado.hpp>

struct Nameless {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    return (prediction - target).abs().mean();
  }
};

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::Unet<2>, Nameless, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
