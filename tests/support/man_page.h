/* SPDX-License-Identifier: MIT */
/* The man page of enlite, which tests compare with the tables it describes. */
#ifndef SUPPORT_MAN_PAGE_H
#define SUPPORT_MAN_PAGE_H

#define MAN_PAGE "docs/man/enlite.1"

/* All of it; or a section, from its heading ("COMMANDS") to the next one. To be freed. */
char *man_page(void);
char *man_section(const char *heading);

#endif
