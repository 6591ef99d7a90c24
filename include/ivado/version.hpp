// The version of ivado. CMake reads these three numbers from this file; nothing else states them.
#pragma once

#define IVADO_VERSION_MAJOR 0
#define IVADO_VERSION_MINOR 1
#define IVADO_VERSION_PATCH 0

namespace ivado {

/// The version as text, "major.minor.patch" (semantic versioning 2.0).
inline constexpr const char* version = "0.1.0";

}  // namespace ivado
