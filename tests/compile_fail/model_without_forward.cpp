// expect: ivado: a Model needs `parameters()` and `template <class On> auto forward(On& on, const typename On::Value& x) const`
#include <ivado/ivado.hpp>

struct NoModel {
  struct Params {};
  static constexpr std::string_view name = "NoModel";
  static constexpr int dimension = 2, in_channels = 1, classes = 1;
};

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>, NoModel,
                    ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
