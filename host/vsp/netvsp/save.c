/* SPDX-License-Identifier: MIT */
/*
 * Saving a NIC. A pause has returned all buffers of the back end and ended all commands. What is
 * left is what the guest has decided (the settings), and what is with the guest: sections of the
 * receive buffer in packets that it has not completed yet, control messages, an indication.
 *
 * Restoring, control sets the settings and finds the buffers' pages, before the I/O thread has the
 * channel; netvsp_restore_open() takes out of the free sections those that are with the guest.
 * A packet that waited for room is the core's (host/vsp/save.c); it counts as sent, so that the
 * guest's completion of it is taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "vsp/netvsp/netvsp_impl.h"

/* One packet that is with the guest. */
struct restored_transfer {
	uint32_t count;
	uint16_t sections[NETVSP_TRANSFER_RANGES];
};

/* Between netvsp_archive_channel() and netvsp_restore_open(). */
struct netvsp_restored {
	uint32_t transfer_count;
	struct restored_transfer transfers[NETVSP_TRANSFERS];
	bool replies[RECV_CONTROL_SECTIONS];
	uint32_t indicated; /* the number of that reply; RECV_CONTROL_SECTIONS: none */
};

/* ---- device -------------------------------------------------------------- */

void netvsp_archive(struct vsp_device *dev, struct archive *a)
{
	struct netvsp *d = vsp_device_priv(dev);
	bool cable = atomic_load(&d->cable);
	uint32_t mtu_max = atomic_load(&d->mtu_max);
	uint64_t speed = atomic_load(&d->speed_bps);

	ON_CONTROL(dev);
	archive_bytes(a, "mac", d->config.mac, sizeof(d->config.mac));
	archive_bool(a, "cable", &cable);
	archive_u32(a, "mtu_max", &mtu_max);
	archive_u64(a, "speed", &speed);
	if (mtu_max < NETVSP_MTU_MIN || mtu_max > NETVSP_MTU_MAX)
		archive_fail(a, "MTU %u", mtu_max);
	if (!a->reading || a->error)
		return;
	atomic_store(&d->cable, cable);
	atomic_store(&d->mtu_max, mtu_max);
	atomic_store(&d->speed_bps, speed);
}

/* ---- settings ------------------------------------------------------------ */

static bool version_ok(uint32_t version)
{
	static const uint32_t versions[] = {0, NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
		NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_6_1};

	for (uint32_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (versions[i] == version)
			return true;
	return false;
}

static void rss_archive(struct rss *rss, uint32_t parts, struct archive *a)
{
	archive_bool(a, "rss", &rss->enabled);
	archive_u32(a, "rss_hash_types", &rss->hash_types);
	archive_bytes(a, "rss_key", rss->key, sizeof(rss->key));
	archive_u32(a, "rss_table_entries", &rss->table_entries);
	archive_bytes(a, "rss_table", rss->table, sizeof(rss->table));
	if (rss->table_entries > RSS_TABLE_MAX)
		archive_fail(a, "RSS table of %u entries", rss->table_entries);
	for (uint32_t i = 0; i < RSS_TABLE_MAX && !a->error; i++)
		if (rss->table[i] >= NETVSP_CHANNELS_MAX)
			archive_fail(a, "RSS channel %u", rss->table[i]);
}

static void settings_archive(const struct netvsp *d, struct netvsp_settings *s, struct archive *a)
{
	archive_u32(a, "version", &s->version);
	archive_u64(a, "capabilities", &s->capabilities);
	archive_u32(a, "mtu", &s->mtu);
	archive_bool(a, "running", &s->running);
	archive_bool(a, "sub_channels_ready", &s->sub_channels_ready);
	archive_bool(a, "rsc4", &s->rsc4);
	archive_bool(a, "rsc6", &s->rsc6);
	archive_u32(a, "parts", &s->parts);
	archive_u32(a, "filter", &s->filter);
	archive_bytes(a, "mac", s->mac, sizeof(s->mac));
	archive_u32(a, "multicast_count", &s->multicast_count);
	archive_bytes(a, "multicast", s->multicast, sizeof(s->multicast));
	rss_archive(&s->rss, s->parts, a);
	if (!version_ok(s->version) || s->mtu < NETVSP_MTU_MIN || s->mtu > NETVSP_MTU_MAX ||
		!s->parts || s->parts > d->channels_max ||
		s->multicast_count > NETVSP_MULTICAST_MAX)
		archive_fail(a, "settings that no NIC has");
}

/* ---- buffers ------------------------------------------------------------- */

static struct vsp_gpadl *find_pages(struct netvsp_channel *c, uint32_t handle, struct archive *a)
{
	struct vsp_gpadl_map map = {.handle = handle, .torn_down = nvsp_buffer_torn_down};

	vsp_gpadl_find(c->ch, &map);
	if (!map.gpadl)
		archive_fail(a, "buffer of GPADL %u", handle);
	return map.gpadl;
}

/* As nvsp.c takes it from the guest. */
static void recv_restore(struct netvsp_channel *c, uint32_t handle, uint16_t id, struct archive *a)
{
	struct netvsp *d = c->device;
	struct vsp_gpadl *pages = find_pages(c, handle, a);

	if (!pages)
		return;
	c->rx.recv = recv_create(pages, id, d->next.mtu, vsp_device_budget(d->dev));
	if (!c->rx.recv || (c->rx.recv->sections - RECV_CONTROL_SECTIONS) / d->channels_max == 0) {
		archive_fail(a, "receive buffer");
		recv_put(c->rx.recv);
		c->rx.recv = NULL;
		vsp_gpadl_put(pages);
		return;
	}
	c->rx.view = true;
	recv_get(c->rx.recv);
	d->next.recv = c->rx.recv;
}

static void send_restore(struct netvsp_channel *c, uint32_t handle, struct archive *a)
{
	struct vsp_gpadl *pages = find_pages(c, handle, a);

	if (!pages)
		return;
	c->send = send_create(pages);
	if (!c->send) {
		archive_fail(a, "send buffer");
		vsp_gpadl_put(pages);
		return;
	}
	c->send_view = true;
	send_get(c->send);
	c->device->next.send = c->send;
}

static void buffers_archive(struct netvsp_channel *c, struct archive *a)
{
	struct netvsp_settings *s = &c->device->next;
	bool has_recv = s->recv, has_send = s->send;
	uint32_t recv = has_recv ? vsp_gpadl_handle(s->recv->gpadl) : 0;
	uint32_t send = has_send ? vsp_gpadl_handle(s->send->gpadl) : 0;
	uint16_t id = has_recv ? s->recv->id : 0;

	archive_bool(a, "has_receive_buffer", &has_recv);
	archive_u32(a, "receive_buffer", &recv);
	archive_u16(a, "receive_buffer_id", &id);
	archive_bool(a, "has_send_buffer", &has_send);
	archive_u32(a, "send_buffer", &send);
	if (!a->reading)
		return;
	if (has_recv && !a->error)
		recv_restore(c, recv, id, a);
	if (has_send && !a->error)
		send_restore(c, send, a);
}

/* ---- what is with the guest ---------------------------------------------- */

static void transfer_archive(struct restored_transfer *t, struct archive *a)
{
	uint32_t size = t->count * (uint32_t)sizeof(t->sections[0]);
	const void *sections;

	archive_begin(a, NULL, 1);
	sections = archive_data(a, "sections", t->sections, &size, sizeof(t->sections));
	archive_end(a);
	if (!a->reading || !sections)
		return;
	memcpy(t->sections, sections, size);
	t->count = size / (uint32_t)sizeof(t->sections[0]);
	if (!t->count)
		archive_fail(a, "a packet without sections");
}

static void transfer_collect(const struct netvsp_recv *recv, const struct netvsp_transfer *from,
	struct netvsp_restored *r)
{
	struct restored_transfer *t = &r->transfers[r->transfer_count++];

	t->count = from->sections;
	for (uint32_t i = 0; i < from->sections; i++)
		t->sections[i] =
			(uint16_t)(from->header.ranges[i].byte_offset / recv->section_size);
}

static void collect(const struct netvsp_channel *c, struct netvsp_restored *r)
{
	const struct netvsp_rx *rx = &c->rx;

	for (uint32_t id = rx->first; rx->recv && id < rx->end; id++)
		if (rx->recv->transfers[id])
			transfer_collect(rx->recv, rx->recv->transfers[id], r);
	r->indicated = RECV_CONTROL_SECTIONS;
	for (uint32_t i = 0; i < RECV_CONTROL_SECTIONS; i++) {
		r->replies[i] = c->replies[i];
		if (c->replies[i] && c->replies[i] == c->indicated.reply)
			r->indicated = i;
	}
}

/* Each section is the channel's own, and in one packet only. */
static bool sections_ok(const struct netvsp_channel *c, const struct netvsp_restored *r)
{
	uint8_t used[UINT16_MAX + 1] = {0};
	uint32_t first, end;

	if (!r->transfer_count)
		return true;
	if (!c->rx.recv)
		return false;
	recv_share(c->rx.recv, vsp_channel_index(c->ch), c->settings.parts, &first, &end);
	for (uint32_t n = 0; n < r->transfer_count; n++)
		for (uint32_t i = 0; i < r->transfers[n].count; i++) {
			uint16_t section = r->transfers[n].sections[i];

			if (section < first || section >= end || used[section]++)
				return false;
		}
	return true;
}

static void guest_archive(struct netvsp_channel *c, struct netvsp_restored *r, struct archive *a)
{
	archive_u16(a, "rsc_id", &c->rx.rsc_id);
	r->transfer_count = archive_list(a, "packets", r->transfer_count, NETVSP_TRANSFERS);
	for (uint32_t i = 0; i < r->transfer_count; i++)
		transfer_archive(&r->transfers[i], a);
	archive_end(a);
	for (uint32_t i = 0; i < RECV_CONTROL_SECTIONS; i++)
		archive_bool(a, "reply", &r->replies[i]);
	archive_u32(a, "indication", &r->indicated);
	archive_bool(a, "indicated_link", &c->indicated.link);
	archive_u32(a, "indicated_speed", &c->indicated.speed);
	archive_bool(a, "indicated_offloads_due", &c->indicated.offloads_due);
	archive_u32(a, "indicated_status", &c->indicated.status);
	if (a->reading && (r->indicated > RECV_CONTROL_SECTIONS || !sections_ok(c, r)))
		archive_fail(a, "packets that no guest has");
}

/* ---- channels ------------------------------------------------------------ */

static void primary_archive(struct netvsp_channel *c, struct archive *a)
{
	struct netvsp *d = c->device;

	archive_bool(a, "sub_channels_requested", &c->sub_channels_requested);
	if (a->reading && !c->sub_channels_requested && vsp_channel_sub_count(c->ch))
		archive_fail(a, "sub-channels without a request");
	settings_archive(d, &d->next, a);
	buffers_archive(c, a);
	if (a->reading && !a->error)
		netvsp_restore_settings(c);
}

/* The guest is about to close the channel: the buffers go one after the other. */
static bool is_changing(const struct netvsp_channel *c)
{
	return !list_empty(&c->commands) || c->running || c->rx.revoked ||
	       (c->primary &&
		       (c->rx.recv != c->device->next.recv || c->send != c->device->next.send));
}

void netvsp_archive_channel(struct vsp_channel *ch, struct archive *a)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);
	struct netvsp_restored *r = calloc(1, sizeof(*r));

	if (!r) {
		archive_fail(a, "out of memory");
		return;
	}
	if (!a->reading) {
		collect(c, r);
		if (is_changing(c))
			archive_fail(a, "the guest closes or configures it: try again");
	}
	if (c->primary)
		primary_archive(c, a);
	if (a->reading && !netvsp_has_share(c))
		archive_fail(
			a, "no share of the receive buffer for channel %u", vsp_channel_index(ch));
	guest_archive(c, r, a);
	if (a->reading && !a->error)
		c->restored = r;
	else
		free(r);
}

uint16_t netvsp_sub_channels_max(struct vsp_device *dev)
{
	const struct netvsp *d = vsp_device_priv(dev);

	return (uint16_t)(d->channels_max - 1);
}

/* ---- the I/O thread ------------------------------------------------------ */

static bool replies_restore(struct netvsp_channel *c, const struct netvsp_restored *r)
{
	for (uint32_t i = 0; i < RECV_CONTROL_SECTIONS; i++) {
		struct netvsp_reply *reply;

		if (!r->replies[i])
			continue;
		reply = vsp_request_get(c->ch, CLASS_REPLY);
		if (!reply)
			return false;
		reply->section = i;
		reply->sent = true;
		c->replies[i] = reply;
	}
	if (r->indicated < RECV_CONTROL_SECTIONS)
		c->indicated.reply = c->replies[r->indicated];
	return true;
}

/* Takes a section out of the middle of the free list: rare, and the list is short. */
static void remove_section(struct netvsp_rx *rx, uint16_t section)
{
	uint16_t *at = &rx->first_free;

	while (*at != section)
		at = &rx->recv->next_free[*at];
	*at = rx->recv->next_free[section];
	rx->free_count--;
}

static void restore_transfer(struct netvsp_channel *c, struct netvsp_transfer *t,
	const uint16_t *sections, uint32_t count)
{
	struct netvsp_rx *rx = &c->rx;

	t->sections = count;
	t->sent = true;
	for (uint32_t i = 0; i < count; i++) {
		remove_section(rx, sections[i]);
		t->header.ranges[i].byte_offset = sections[i] * rx->recv->section_size;
	}
	rx->recv->transfers[sections[0]] = t;
	counter_add(&rx->sections_out, count);
}

static bool transfers_restore(struct netvsp_channel *c, const struct netvsp_restored *r)
{
	for (uint32_t n = 0; n < r->transfer_count; n++) {
		struct netvsp_transfer *t = vsp_request_get(c->ch, CLASS_TRANSFER);

		if (!t)
			return false;
		restore_transfer(c, t, r->transfers[n].sections, r->transfers[n].count);
	}
	return true;
}

void netvsp_restore_free(struct netvsp_channel *c)
{
	free(c->restored);
	c->restored = NULL;
}

int netvsp_restore_open(struct netvsp_channel *c)
{
	int ret = 0;

	ON_IO_THREAD(c);
	if (!c->restored)
		return 0;
	if (!replies_restore(c, c->restored) || !transfers_restore(c, c->restored))
		ret = -ENOMEM;
	netvsp_restore_free(c);
	return ret;
}
