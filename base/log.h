/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr. Any thread. One write(2) per line, no allocation.
 *
 *   log_error ...  what the user did, and how the process ends: not limited
 *   log_event()    what the host and its storage do while the guest runs
 *   log_guest()    what a guest can cause directly
 *
 * A guest can make the last two happen as often as it likes, so each has a limit of
 * its own: neither hides the other, and together they are at most 1 MiB per minute.
 * What is left out is counted, and the count printed with the next line. Folders that
 * a guest reaches use only these two; `make style` checks that. Never log guest data
 * or host pointers.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#define LOG_GUEST_BURST      20u
#define LOG_GUEST_PER_SECOND 2u
#define LOG_EVENT_BURST      (128u << 10) /* bytes */
#define LOG_EVENT_PER_MINUTE (512u << 10)

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* default LOG_WARN; before threads start */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_event(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_guest(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
