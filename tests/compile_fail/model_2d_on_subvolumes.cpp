// expect: ivado: Unet<2> needs slices: use Slices<...>, not Subvolumes<...>
#include <ivado/data/slicing.hpp>
#include <ivado/model/unet.hpp>

// What a Pipeline asks of its model, without the time that a whole one takes to compile.
int main() { ivado::Unet<2>::explain_dimension<ivado::Subvolumes<128, 128, 16>::dimension>(); }
