/* VECTORED: compiles a function of plain loops once for each generation of vector units and picks at start.
 * No sum changes its order and no multiply-add is contracted, so the bits are the same for all. */
#ifndef CAIRN_WORKER_COMPUTE_CPU_VECTOR_H
#define CAIRN_WORKER_COMPUTE_CPU_VECTOR_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VECTOR_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VECTOR_SANITIZED 1
#endif

/* Not under sanitizers, whose run-time is not there yet when the choice is made. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(VECTOR_SANITIZED)
#define VECTORED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORED
#endif

#endif
