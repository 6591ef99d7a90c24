// A chain with two transforms of one name.
// expect: ivado: the transforms of a chain need different names, because they are the keys of its JSON object
#include <ivado/transform/center_crop.hpp>
#include <ivado/transform/compose.hpp>

int main() { ivado::Compose<ivado::CenterCrop, ivado::CenterCrop>(); }
