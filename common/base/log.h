/* Log lines on stderr: one line an event, `time=... level=... program=... event=... key=value ...`.
 *
 * The level and program name are set once in main before other threads start; afterwards any thread may log.
 * A line is written with one write(2), so lines of several threads and processes do not mix. Values with
 * spaces are the caller's to quote: "%s" inside \" \" where the text is foreign. */
#ifndef CAIRN_BASE_LOG_H
#define CAIRN_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Sets the least important level that is written and the program's name (borrowed for ever). */
void log_init(enum log_level level, const char *program);

/* The levels' names in their order, then NULL. */
extern const char *const log_level_words[];

/* Writes one line; fields is a printf format of "key=value key=value" or "". Newlines become spaces. */
void log_event(enum log_level level, const char *event, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
