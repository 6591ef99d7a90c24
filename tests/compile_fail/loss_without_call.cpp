// expect: ivado: a Loss needs `at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const`
#include <ivado/ivado.hpp>

struct Silent {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "Silent";
};

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::Unet<2>, Silent, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
