// A program with the part of ivado that needs no LibTorch: writes a volume through ITK and reads it again.
#include <iostream>
#include <ivado/data/volume.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/version.hpp>
#include <string>

#ifdef WITH_HEADERS_ALONE
std::string codes_of(const ivado::Geometry& geometry);  // in headers_alone.cpp
#endif

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    ivado::Geometry geometry{ivado::Shape{4, 3, 2}};
    geometry.affine(0, 0) = 0.5;
    ivado::Array<float> voxels(ivado::Shape{2, 3, 4});
    for (std::int64_t i = 0; i < voxels.size(); ++i) voxels[i] = static_cast<float>(i);
    ivado::write_volume(argv[1], voxels.view().permute({2, 1, 0}), geometry, ivado::StoredType::float32);
    const ivado::Volume volume = ivado::read_volume(argv[1]);
#ifdef WITH_HEADERS_ALONE
    if (codes_of(volume.geometry) != ivado::axis_codes(volume.geometry.affine)) return 4;
#endif
    std::cout << "ivado " << ivado::version << ": " << ivado::axis_codes(volume.geometry.affine) << ", last voxel "
              << volume.voxels[23] << "\n";
    return volume.geometry.spacing_mm()[0] == 0.5 && volume.voxels[23] == 23 ? 0 : 1;
  } catch (const ivado::Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_status();
  }
}
