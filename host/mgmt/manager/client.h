/* SPDX-License-Identifier: MIT */
/* The client's side of one request to the manager. Thread: any that may sleep. */
#ifndef MANAGER_CLIENT_H
#define MANAGER_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CLIENT_SOCKET     "/run/enlited.sock"
#define CLIENT_TIMEOUT_S  100
#define CLIENT_ANSWER_MAX (16u << 20)

struct client_answer {
	unsigned status;
	char *head; /* allocated; body is in it */
	char *body; /* with a terminator */
	size_t length;
	uint64_t next; /* of texts: where what comes after this begins */
};

/* body: may be NULL. 0: *a is filled in, whatever the status, and freed by client_free(). -errno
 * with one line: there is no answer. */
int client_call(const char *socket, const char *method, const char *path, const void *body,
	size_t length, struct client_answer *a, struct err *e);
void client_free(struct client_answer *a);

/* The same in JSON. 0: *reply, a new object; -errno with the manager's reason. */
int client_json(const char *socket, const char *method, const char *path, const json_t *body,
	json_t **reply, struct err *e);
/* What an answer says that is no success. -errno. */
int client_refused(const struct client_answer *a, struct err *e);

#endif
