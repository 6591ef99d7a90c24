// expect: ivado: an Eigen older than 3.4 is in use here, most likely the copy inside ITK
#undef ITK_USE_SYSTEM_EIGEN
#include <itkNiftiImageIO.h>
// ITK comes first here, with its own Eigen.
#include <ivado/data/geometry.hpp>
