// Calls functions of headers that another source of the program has from the library ivado::compiled_data.
#include <ivado/data/volume.hpp>
#include <string>

std::string codes_of(const ivado::Geometry& geometry) { return ivado::axis_codes(geometry.affine); }
