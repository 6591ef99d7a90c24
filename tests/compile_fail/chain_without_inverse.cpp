// A chain with a transform that testing cannot undo.
// expect: ivado: a transform that testing undoes needs `void invert(Image& prediction, const Draw& draw) const`, or
// `static constexpr bool moves_voxels = false` if it moves no voxel
#include <ivado/transform/compose.hpp>

struct Warp {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  struct Draw {};
  static constexpr std::string_view name = "Warp";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = false;
  explicit Warp(const Params&) {}
  Draw draw(ivado::Rng&, const ivado::Sample&) const { return {}; }
  void apply(ivado::Image&, const Draw&) const {}
};

int main() {
  ivado::Image prediction;
  ivado::Compose<Warp>().invert(prediction, {});
}
