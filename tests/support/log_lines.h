/* SPDX-License-Identifier: MIT */
/* How many lines are logged meanwhile. Standard error goes to a file until then, and is shown
 * after. */
#ifndef SUPPORT_LOG_LINES_H
#define SUPPORT_LOG_LINES_H

#include <stdint.h>

void log_lines_begin(void);
uint32_t log_lines_end(void);

#endif
