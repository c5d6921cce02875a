/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_save.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/guest_impl.h"

/* ---- rest ---------------------------------------------------------------- */

struct rest {
	struct guest *g;
	uint32_t waiting; /* under the guest's lock */
};

static void at_rest(void *ctx)
{
	struct rest *rest = ctx;

	pthread_mutex_lock(&rest->g->lock);
	rest->waiting--;
	guest_changed(rest->g);
	pthread_mutex_unlock(&rest->g->lock);
}

static void pause_all(void *arg)
{
	struct rest *rest = arg;

	for (uint32_t i = 0; i < rest->g->device_count; i++)
		if (rest->g->devices[i])
			vsp_device_pause(rest->g->devices[i], at_rest, rest);
}

static void come_to_rest(struct guest *g)
{
	struct rest rest = {.g = g};

	for (uint32_t i = 0; i < g->device_count; i++)
		rest.waiting += g->devices[i] != NULL;
	guest_control(g, pause_all, &rest);
	pthread_mutex_lock(&g->lock);
	while (rest.waiting)
		guest_wait_changed(g, "all devices at rest");
	pthread_mutex_unlock(&g->lock);
}

static void resume_all(void *arg)
{
	struct guest *g = arg;

	for (uint32_t i = 0; i < g->device_count; i++)
		if (g->devices[i])
			vsp_device_resume(g->devices[i]);
}

void guest_go_on(struct guest *g)
{
	guest_control(g, resume_all, g);
}

/* ---- saving -------------------------------------------------------------- */

struct work {
	struct guest *g;
	struct archive archive;
	bool rest;
};

static void look_for_rest(void *arg)
{
	struct work *w = arg;

	w->rest = bus_is_at_rest(w->g->bus);
}

static void write_state(void *arg)
{
	struct work *w = arg;

	archive_write(&w->archive);
	bus_archive(w->g->bus, &w->archive);
}

void guest_save(struct guest *g, struct guest_image *image)
{
	struct work w = {.g = g};

	come_to_rest(g);
	while (!w.rest)
		guest_control(g, look_for_rest, &w);
	guest_control(g, write_state, &w);
	check(!archive_error(&w.archive, NULL));
	image->state = w.archive.bytes;
	image->size = w.archive.size;
	image->ram = malloc(g->next_gpa);
	check(image->ram);
	memcpy(image->ram, g->gmem.base, g->next_gpa);
}

void guest_image_free(struct guest_image *image)
{
	free(image->state);
	free(image->ram);
}

/* ---- restoring ----------------------------------------------------------- */

static void read_state(void *arg)
{
	struct work *w = arg;

	bus_archive(w->g->bus, &w->archive);
	archive_finish(&w->archive);
}

static void renew(struct guest *g, void (*make)(void *ctx), void *ctx)
{
	if (!g->shut_down)
		guest_shut_down(g);
	guest_new_bus(g);
	make(ctx);
}

void guest_restore(
	struct guest *g, const struct guest_image *image, void (*make)(void *ctx), void *ctx)
{
	struct work w = {.g = g};

	renew(g, make, ctx);
	memcpy(g->gmem.base, image->ram, g->next_gpa);
	archive_read(&w.archive, image->state, image->size);
	guest_control(g, read_state, &w);
	check(!archive_error(&w.archive, NULL));
	come_to_rest(g);
	check(!g->host.restore_failed);
	guest_go_on(g);
}

int guest_try_restore(struct guest *g, const void *state, size_t size, void (*make)(void *ctx),
	void *ctx, struct err *e)
{
	struct work w = {.g = g};

	renew(g, make, ctx);
	archive_read(&w.archive, state, size);
	guest_control(g, read_state, &w);
	come_to_rest(g);
	guest_shut_down(g);
	return archive_error(&w.archive, e);
}
