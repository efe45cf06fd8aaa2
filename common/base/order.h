/* Tells ThreadSanitizer of an order between threads that it cannot see, since the library that makes it
 * (ZeroMQ) is not instrumented. Nothing in other builds: these are no barriers. Any thread. */
#ifndef CAIRN_BASE_ORDER_H
#define CAIRN_BASE_ORDER_H

#if defined(__SANITIZE_THREAD__)
#define ORDER_IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ORDER_IS_WATCHED 1
#endif
#endif

/* What this thread wrote before ORDER_BEFORE(address) may be read by one that came later to
 * ORDER_AFTER(address). */
#ifdef ORDER_IS_WATCHED
#include <sanitizer/tsan_interface.h>
#define ORDER_BEFORE(address) __tsan_release((void *)(address))
#define ORDER_AFTER(address)  __tsan_acquire((void *)(address))
#else
#define ORDER_BEFORE(address) ((void)(address))
#define ORDER_AFTER(address)  ((void)(address))
#endif

#endif
