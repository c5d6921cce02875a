/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr. Any thread. One write(2) per line, no allocation.
 *
 * log_guest() is for every line that a guest can cause: at most LOG_GUEST_BURST
 * lines at once and LOG_GUEST_PER_SECOND after that; the others are counted, and
 * the next line reports the count. Never log guest data or host pointers.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#define LOG_GUEST_BURST      20u
#define LOG_GUEST_PER_SECOND 2u

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* default LOG_WARN; before threads start */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_guest(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
