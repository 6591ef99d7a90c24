// The areas of the reference values that ivado has no part for yet: their cases are counted as skipped.
#include "golden.hpp"

namespace golden {

void later(const std::filesystem::path& dir, Report& report) {
  const auto skip_all = [&](const std::string& file, const std::string& why) {
    const auto path = dir / file;
    if (!std::filesystem::exists(path)) return;
    const ivado::Json cases = ivado::read_json(path.string());
    for (std::size_t i = 0; i < cases.size(); ++i) report.skip(file + " " + std::to_string(i), why);
  };
  skip_all("uncertainty.json", "uncertainty does not exist yet");
  skip_all("segment_volume/segment_volume.json", "segment_volume with patches does not exist yet");
}

}  // namespace golden
