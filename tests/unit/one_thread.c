/* Linked with each suite that is not declared as one of THREADS: starting a thread ends it. ThreadSanitizer
 * runs only the suites that are (a race takes two threads), and so none that has threads can be left out by
 * mistake. Stands before the C library's function, for libraries' calls too. Test code only. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    (void)thread;
    (void)attributes;
    (void)run;
    (void)argument;
    fputs("this suite starts a thread: declare it with THREADS in tests/unit/CMakeLists.txt\n", stderr);
    abort();
}
