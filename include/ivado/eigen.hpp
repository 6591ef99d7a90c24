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
