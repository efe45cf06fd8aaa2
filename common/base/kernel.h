/* How elementwise loops are compiled: as wide as the machine allows, and to the same bits on all of them. Every
 * element is computed on its own with IEEE 754's +, -, *, / and sqrt, multiply-adds are never contracted
 * (cmake/flags.cmake), so the width cannot be seen in the result. */
#ifndef CAIRN_BASE_KERNEL_H
#define CAIRN_BASE_KERNEL_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                                   \
    __has_feature(undefined_behavior_sanitizer)
#define KERNEL_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KERNEL_SANITIZED 1
#endif

/* One version of a function for each width, chosen when the program starts. Not under sanitizers, whose
 * run-time is not there yet when the choice is made. KERNEL_TARGET: just that width, for tests. The name must be
 * one of its own in the whole program, also of a static function: Clang 14 makes the chooser global. */
#if defined(KERNEL_TARGET)
#define KERNEL __attribute__((target(KERNEL_TARGET)))
#elif defined(__x86_64__) && defined(__ELF__) && !defined(KERNEL_SANITIZED)
#define KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define KERNEL
#endif

/* Before a loop whose iterations do not depend on each other: its arrays are the same array or do not
 * overlap. Nothing where it could not be vectorised anyway (no optimisation, sanitizers): Clang would warn.
 */
#if defined(KERNEL_SANITIZED) || !defined(__OPTIMIZE__)
#define KERNEL_LOOP
#elif defined(__clang__)
#define KERNEL_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define KERNEL_LOOP _Pragma("GCC ivdep")
#endif

#endif
