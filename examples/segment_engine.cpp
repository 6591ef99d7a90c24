// A production program: segments image files with a packaged model, by oneDNN alone. It links no LibTorch, and starts in
// hundredths of a second.
//
//   segment_engine -i sub-01_T2w.nii.gz -m results/model -o predictions
#include <exception>
#include <iostream>
#include <ivado/engine/segment.hpp>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto options = ivado::parse_segment_image(arguments);
  if (options.help) return std::cout << ivado::segment_image_usage, 0;
  for (const auto& path : ivado::segment_image_by_engine(options)) std::cout << path << "\n";
  return 0;
} catch (const ivado::Error& error) {
  std::cerr << "segment_engine: error: " << error.what() << "\n";
  return error.exit_status();
} catch (const std::exception& error) {
  std::cerr << "segment_engine: error: " << error.what() << "\n";
  return 4;
}
