// How the longer functions of the headers are defined: inline, or with their code in the library ivado::compiled.
#pragma once

/// Stands for `inline` at functions that are long enough to be worth it, and are not called once a voxel.
///
/// - As it is, header-only: `inline`.
/// - With IVADO_COMPILED, which the target ivado::compiled defines: the compiler checks the function and makes no code of it, since the
///   library has it. A program compiles in half the time, by GCC; Clang gains less.
/// - In the sources of that library (cmake/IvadoCompiled.cmake): code is made, called or not; IVADO_COMPILING is defined in the first of
///   them, and the others redefine this macro behind the headers that are not theirs.
///
/// Sources with and without IVADO_COMPILED can be linked into one program. A function that is declared ahead of its definition, or is
/// `constexpr`, `auto` or a template, is not marked.
#if defined(IVADO_COMPILING)
#define IVADO_INLINE [[gnu::used]] inline
#elif defined(IVADO_COMPILED) && defined(__clang__)
#define IVADO_INLINE [[gnu::gnu_inline]] inline
#elif defined(IVADO_COMPILED) && defined(__GNUC__)
#define IVADO_INLINE [[gnu::gnu_inline, gnu::optimize(0)]] inline
#else
#define IVADO_INLINE inline
#endif

/// The same for a function that is called from very many places, and shall not be copied into them.
#if defined(IVADO_COMPILED) && !defined(IVADO_COMPILING)
#define IVADO_NOINLINE IVADO_INLINE
#else
#define IVADO_NOINLINE [[gnu::noinline]] IVADO_INLINE
#endif
