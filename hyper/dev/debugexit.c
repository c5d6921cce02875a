/* SPDX-License-Identifier: MIT */
/*
 * The end of flat guests, by the conventions of kvm-unit-tests: an OUT of `code`
 * to port 0xF4 ends with process status (code << 1) | 1; the text "Shutdown",
 * byte by byte to port 0x8900, is the old fallback and powers off.
 */
#include <string.h>

#include "hyper/dev/dev.h"

static const char shutdown_text[] = "Shutdown";

static uint32_t nothing_read(void *ctx, uint16_t port, unsigned size)
{
	return PIO_NOBODY;
}

static void exit_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct debug_exit *d = ctx;

	if (port == DEBUG_EXIT_PORT)
		d->control.debug_exit(d->control.ctx, (int)((value << 1 | 1) & 0xFF));
}

/* No proper prefix of the text is also a suffix of it: after a mismatch the search restarts. */
static bool match_shutdown(struct debug_exit *d, char c)
{
	if (c != shutdown_text[d->shutdown_matched])
		d->shutdown_matched = 0;
	if (c == shutdown_text[d->shutdown_matched])
		d->shutdown_matched++;
	if (d->shutdown_matched < sizeof(shutdown_text) - 1)
		return false;
	d->shutdown_matched = 0;
	return true;
}

static void shutdown_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct debug_exit *d = ctx;
	bool complete;

	pthread_mutex_lock(&d->lock);
	complete = match_shutdown(d, (char)value);
	pthread_mutex_unlock(&d->lock);
	if (complete)
		d->control.power_off(d->control.ctx);
}

static const struct pio_ops exit_ops = {
	.read = nothing_read,
	.write = exit_write,
};

static const struct pio_ops shutdown_ops = {
	.read = nothing_read,
	.write = shutdown_write,
};

int debug_exit_init(struct debug_exit *d, struct pio *pio, struct power_control control)
{
	int ret;

	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	d->control = control;
	ret = pio_add(pio, DEBUG_EXIT_PORT, 4, &exit_ops, d);
	if (ret)
		return ret;
	return pio_add(pio, SHUTDOWN_PORT, 1, &shutdown_ops, d);
}

void debug_exit_archive(struct debug_exit *d, struct archive *a)
{
	uint32_t matched = d->shutdown_matched;

	archive_begin(a, "debug_exit", 1);
	archive_u32(a, "matched", &matched);
	archive_end(a);
	if (matched >= sizeof(shutdown_text) - 1)
		archive_fail(a, "more of the text than there is");
	else
		d->shutdown_matched = matched;
}
