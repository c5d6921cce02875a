/* SPDX-License-Identifier: MIT */
/* The state of the NIC for `inspect` and `stats`. ON_CONTROL: reads what is published, counters and
 * constants. */
#include "base/inspect.h"
#include "base/counter.h"
#include "vsp/netvsp/netvsp_impl.h"

#define FIELD(member) INSPECT_FIELD(netvsp_counters, member)

/* clang-format off */
static const struct inspect_field counter_fields[] = {
	FIELD(tx_frames), FIELD(tx_bytes), FIELD(tx_multicast), FIELD(tx_broadcast),
	FIELD(tx_invalid), FIELD(tx_spoofed), FIELD(tx_dropped),
	FIELD(rx_frames), FIELD(rx_bytes), FIELD(rx_multicast), FIELD(rx_broadcast),
	FIELD(rx_filtered), FIELD(rx_dropped), FIELD(rx_packets), FIELD(rx_starved),
	{NULL, 0},
};
/* clang-format on */

static void mac_inspect(const uint8_t mac[6], struct inspect *i, const char *key)
{
	inspect_textf(i, key, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}

/* "6.1"; "none": no driver of the guest is connected. */
static void version_inspect(uint32_t version, struct inspect *i)
{
	static const struct {
		uint32_t version;
		const char *text;
	} versions[] = {{NVSP_VERSION_1, "1"}, {NVSP_VERSION_2, "2"}, {NVSP_VERSION_4, "4"},
		{NVSP_VERSION_5, "5"}, {NVSP_VERSION_6, "6"}, {NVSP_VERSION_6_1, "6.1"}};
	const char *text = "none";

	for (uint32_t k = 0; k < sizeof(versions) / sizeof(versions[0]); k++)
		if (versions[k].version == version)
			text = versions[k].text;
	inspect_text(i, "version", text);
}

static void buffers_inspect(const struct netvsp_settings *s, struct inspect *i)
{
	inspect_begin(i, "receive_buffer");
	inspect_u64(i, "sections", s->recv ? s->recv->sections : 0);
	inspect_u64(i, "section_size", s->recv ? s->recv->section_size : 0);
	inspect_u64(i, "shares", s->parts);
	inspect_end(i);
	inspect_begin(i, "send_buffer");
	inspect_u64(i, "sections", s->send ? s->send->sections : 0);
	inspect_u64(i, "section_size", s->send ? SEND_SECTION_SIZE : 0);
	inspect_end(i);
}

static void rss_inspect(const struct rss *rss, struct inspect *i)
{
	inspect_begin(i, "rss");
	inspect_bool(i, "enabled", rss->enabled);
	inspect_textf(i, "hash_types", "%#x", rss->hash_types);
	inspect_begin_array(i, "table");
	for (uint32_t k = 0; k < rss->table_entries; k++)
		inspect_u64(i, NULL, rss->table[k]);
	inspect_end(i);
	inspect_end(i);
}

static void filter_inspect(const struct netvsp *d, struct inspect *i)
{
	const struct netvsp_settings *s = &d->published;

	inspect_textf(i, "filter", "%#x", s->filter);
	inspect_u64(i, "multicast_addresses", s->multicast_count);
	mac_inspect(s->version ? s->mac : d->config.mac, i, "mac");
	mac_inspect(d->config.mac, i, "permanent_mac");
	inspect_bool(i, "mac_lock", d->config.mac_lock);
	inspect_u64(i, "vlan", d->config.vlan);
}

static void offloads_inspect(const struct netvsp *d, struct inspect *i)
{
	inspect_begin(i, "offloads");
	inspect_bool(i, "rsc4", d->published.rsc4);
	inspect_bool(i, "rsc6", d->published.rsc6);
	inspect_textf(i, "capabilities", "%#llx", (unsigned long long)d->published.capabilities);
	inspect_end(i);
}

void netvsp_inspect(struct vsp_device *dev, struct inspect *i)
{
	struct netvsp *d = vsp_device_priv(dev);
	const struct netvsp_settings *s = &d->published;

	version_inspect(s->version, i);
	inspect_bool(i, "running", s->running);
	inspect_bool(i, "link", netvsp_link_up(d));
	inspect_bool(i, "cable", atomic_load(&d->cable));
	inspect_u64(i, "mtu", s->mtu);
	inspect_u64(i, "mtu_max", atomic_load(&d->mtu_max));
	inspect_u64(i, "channels_max", d->channels_max);
	filter_inspect(d, i);
	offloads_inspect(d, i);
	buffers_inspect(s, i);
	rss_inspect(&s->rss, i);
}

void netvsp_inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	const struct netvsp_channel *c = vsp_channel_priv(ch);

	inspect_u64(i, "sections_with_guest", counter_get(&c->rx.sections_out));
	inspect_fields(i, c->counters, counter_fields);
}
