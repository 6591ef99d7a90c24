// A preprocessing transform that draws random numbers.
// expect: ivado: a preprocessing transform runs once and is cached, so it must not be random
#include <ivado/transform/compose.hpp>

struct Jitter {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  struct Draw {};
  static constexpr std::string_view name = "Jitter";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = true;
  explicit Jitter(const Params&) {}
  Draw draw(ivado::Rng&, const ivado::Sample&) const { return {}; }
  void apply(ivado::Image&, const Draw&) const {}
  void invert(ivado::Image&, const Draw&) const {}
};

int main() { ivado::Compose<Jitter>(); }
