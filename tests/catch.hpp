// Catch2 2 and 3 alike, in the names of version 2.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
namespace Catch::Matchers {
// Version 3 calls the matcher of text ContainsSubstring, and has a Contains for ranges beside these.
inline auto Contains(const char* text) { return ContainsSubstring(text); }
inline auto Contains(std::string text) { return ContainsSubstring(text); }
}  // namespace Catch::Matchers
#else
#include <catch2/catch.hpp>
#endif
