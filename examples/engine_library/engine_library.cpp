// The shared library behind ivado/engine/c_api.h, for programs in C and other languages: this one source.
#include <ivado/engine/c_api.hpp>
