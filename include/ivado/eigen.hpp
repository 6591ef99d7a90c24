// Eigen for all of ivado, and one Eigen for the whole program. Packages of ITK often bring an older copy of Eigen, in
// the same namespace and with the same include guards: whichever a translation unit includes first is the one that it
// gets, and two units with different ones share functions over classes of different layouts. So ITK is told to use
// Eigen from outside (CMake's target ivado::itk says so as well, for units that include ITK themselves), and a unit
// that has the older one already does not compile.
#pragma once

#ifndef ITK_USE_SYSTEM_EIGEN
#define ITK_USE_SYSTEM_EIGEN
#endif

#include <Eigen/Dense>

static_assert(EIGEN_VERSION_AT_LEAST(3, 4, 0),
              "ivado: an Eigen older than 3.4 is in use here, most likely the copy inside ITK: link CMake's target "
              "ivado::ivado or ivado::data, define ITK_USE_SYSTEM_EIGEN, or include ivado before ITK");

#if defined(IVADO_COMPILED) || defined(IVADO_COMPILING)
#ifdef _GLIBCXX_DEBUG
#define IVADO_DEBUG_MODE 1
#else
#define IVADO_DEBUG_MODE 0
#endif
namespace ivado::detail {
/// The library of ivado::compiled has one of these: that of the options which it was compiled with. A source with others, whose
/// classes lie differently in memory, refers to one that is nowhere, and does not link.
template <int Alignment, int DebugMode>
[[gnu::used]] int same_options_for_the_whole_project() noexcept;
#ifdef IVADO_COMPILING
template <>
inline int same_options_for_the_whole_project<EIGEN_MAX_STATIC_ALIGN_BYTES, IVADO_DEBUG_MODE>() noexcept {
  return 0;
}
[[gnu::used]] static int (*const keeps_same_options)() noexcept =
    &same_options_for_the_whole_project<EIGEN_MAX_STATIC_ALIGN_BYTES, IVADO_DEBUG_MODE>;
#else
template <>
int same_options_for_the_whole_project<EIGEN_MAX_STATIC_ALIGN_BYTES, IVADO_DEBUG_MODE>() noexcept;
[[gnu::used, gnu::retain]] static int (*const needs_same_options)() noexcept =
    &same_options_for_the_whole_project<EIGEN_MAX_STATIC_ALIGN_BYTES, IVADO_DEBUG_MODE>;
#endif
}  // namespace ivado::detail
#undef IVADO_DEBUG_MODE
#endif
