/* SPDX-License-Identifier: MIT */
/*
 * A guest of the NIC that does anything: bytes as NVSP messages, RNDIS packets,
 * control messages and completions, between honest frames, pauses and changes of
 * the link. The back end is `loop`.
 *
 * Oracles: what goes out is a frame with metadata that fits it (the NIC refuses
 * none); what comes in is what the strictest guest takes (guest_nic.c); a frame
 * that an honest guest sends returns as it was; at the end nothing is left.
 */
#include <string.h>

#include "tests/fuzz/input.h"
#include "tests/support/check.h"
#include "tests/support/guest_pauser.h"
#include "tests/support/netvsp_rig.h"

#define OPS_MAX     64u
#define STREAM_MAX  2048u
#define CONTROL_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
	struct netvsp_rig *rig;
	struct input in;
	bool paused, cable;
};

static void settle(struct target *t)
{
	for (uint32_t i = 0; i < 6; i++) {
		guest_turn(&t->rig->g);
		guest_nic_poll(&t->rig->n);
	}
}

/* ---- messages ------------------------------------------------------------ */

static void nvsp_bytes(struct target *t)
{
	struct guest_nic *n = &t->rig->n;
	uint8_t bytes[64] = {0};
	uint32_t type = 100 + (uint8_t)take(&t->in, 1) % 36,
		 len = 4 + (uint8_t)take(&t->in, 1) % 60;

	if ((uint8_t)take(&t->in, 1) & 1)
		type = (uint8_t)take(&t->in, 1) & 3;
	memcpy(bytes, &type, sizeof(type));
	take_bytes(&t->in, bytes + 4, len - 4);
	guest_chan_send(&n->channels[(uint8_t)take(&t->in, 1) % n->channel_count], VMBUS_PKT_INBAND,
		(uint8_t)take(&t->in, 1) & 1, 0xD0000000ull, NULL, bytes, len);
}

/* An honest message with some bytes changed, or no honest one at all. */
static uint32_t make_stream(struct target *t, uint8_t *bytes)
{
	static const uint8_t frame[60] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 8, 0, 0x45, 0,
		0, 46, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 0, 0, 0, 0,
		0, 0, 0, 0x50, 0x10};
	uint8_t kinds = (uint8_t)take(&t->in, 1);
	const struct netvsc_tx tx = {.length = sizeof(frame),
		.csum = kinds & 1,
		.lso = kinds & 2,
		.vlan = kinds & 4,
		.csum_value = (uint32_t)take(&t->in, 4) & 0x1F,
		.lso_value = (uint32_t)take(&t->in, 4),
		.vlan_value = (uint32_t)take(&t->in, 4)};
	uint32_t len = 0;

	for (uint32_t i = kinds >> 4 & 7; i-- && len < STREAM_MAX - 256;) {
		uint32_t header = netvsc_frame_header(bytes + len, &tx, 0);

		memcpy(bytes + len + header, frame, sizeof(frame));
		len += header + (uint32_t)sizeof(frame);
	}
	if (kinds & 8 || !len) {
		len = (uint32_t)take(&t->in, 4) % STREAM_MAX;
		take_bytes(&t->in, bytes, len);
	}
	for (uint32_t i = (uint8_t)take(&t->in, 1) & 3; i-- && len;)
		bytes[(uint32_t)take(&t->in, 4) % len] = (uint8_t)take(&t->in, 1);
	return len;
}

static void stream_bytes(struct target *t)
{
	struct guest_nic *n = &t->rig->n;
	uint8_t bytes[STREAM_MAX] = {0};
	uint32_t len = make_stream(t, bytes);
	uint32_t index = (uint8_t)take(&t->in, 1) % 8, size = len;

	if (!((uint8_t)take(&t->in, 1) & 15)) {
		index = (uint32_t)take(&t->in, 4);
		size = (uint32_t)take(&t->in, 4);
	}
	guest_nic_send_raw(n, (uint8_t)take(&t->in, 1) % n->channel_count, index, size, bytes, len);
}

static void control_bytes(struct target *t)
{
	static const uint32_t oids[] = {OID_GEN_RSS_PARAMETERS, OID_TCP_OFFLOAD_PARAMETERS,
		OID_GEN_CONFIG_PARAMETER, OID_802_3_MULTICAST_LIST, OID_GEN_CURRENT_PACKET_FILTER,
		OID_TCP_OFFLOAD_HARDWARE_CAPS, OID_GEN_SUPPORTED_LIST, OID_GEN_FRIENDLY_NAME};
	uint8_t bytes[CONTROL_MAX] = {0}, info[CONTROL_MAX] = {0};
	uint32_t info_len = (uint32_t)take(&t->in, 4) % (CONTROL_MAX - 64), len;
	uint32_t oid = oids[(uint8_t)take(&t->in, 1) % (sizeof(oids) / sizeof(oids[0]))];

	take_bytes(&t->in, info, info_len);
	len = netvsc_set(bytes, 1, oid, info, info_len);
	if ((uint8_t)take(&t->in, 1) & 1)
		bytes[0] = (uint8_t)take(&t->in, 1) & 15;
	for (uint32_t i = (uint8_t)take(&t->in, 1) & 3; i--;)
		bytes[(uint32_t)take(&t->in, 4) % len] = (uint8_t)take(&t->in, 1);
	guest_nic_try_control(&t->rig->n, bytes, len);
}

static void completion(struct target *t)
{
	struct guest_nic *n = &t->rig->n;
	const struct nvsp_message m = {.type = NVSP_SEND_RNDIS_PKT_COMPLETE, .status = 1};

	if (!n->hold || ((uint8_t)take(&t->in, 1) & 3)) {
		guest_nic_release(n);
	} else {
		n->answers_early = true;
		guest_chan_send(&n->channels[0], VMBUS_PKT_COMPLETION, 0, (uint32_t)take(&t->in, 4),
			NULL, &m, 8);
	}
	n->hold = (uint8_t)take(&t->in, 1) & 1;
}

/* ---- the host's side ----------------------------------------------------- */

static void toggle_link(void *arg)
{
	struct target *t = arg;

	t->cable = !t->cable;
	netvsp_set_link(t->rig->dev, t->cable);
}

static void ignore(void *ctx)
{
}

static void toggle_pause(void *arg)
{
	struct target *t = arg;

	t->paused = !t->paused;
	if (t->paused)
		vsp_device_pause(t->rig->dev, ignore, NULL);
	else
		vsp_device_resume(t->rig->dev);
}

/* ---- one input ----------------------------------------------------------- */

static void operate(struct target *t)
{
	switch ((uint8_t)take(&t->in, 1) % 8) {
	case 0:
		nvsp_bytes(t);
		break;
	case 1:
	case 2:
	case 3:
		stream_bytes(t);
		break;
	case 4:
		control_bytes(t);
		break;
	case 5:
		completion(t);
		break;
	case 6:
		guest_control(&t->rig->g, toggle_link, t);
		break;
	case 7:
		guest_control(&t->rig->g, toggle_pause, t);
		break;
	}
	if ((uint8_t)take(&t->in, 1) & 1)
		settle(t);
}

static void check_egress(struct target *t)
{
	struct nic_stats s;

	nic_stats(t->rig->nic, &s);
	check(!s.tx.dropped[NIC_DROP_INVALID]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target t = {.in = {data, size}, .cable = true};
	uint32_t vps = 1 + (uint8_t)take(&t.in, 1) % 3;
	uint32_t version = netvsc_versions[(uint8_t)take(&t.in, 1) % NETVSC_VERSIONS];

	t.rig = netvsp_rig_create("loop", vps, 0, NULL);
	guest_nic_open(&t.rig->n, version, vps - 1, (uint8_t)take(&t.in, 1) & 1);
	guest_nic_set_filter(&t.rig->n, NDIS_FILTER_PROMISCUOUS);
	if (t.rig->n.channel_count > 1)
		guest_nic_set_rss(&t.rig->n);
	t.rig->n.tolerant = true;
	for (uint32_t i = 0; i < OPS_MAX && t.in.left; i++)
		operate(&t);
	if (t.paused)
		guest_control(&t.rig->g, toggle_pause, &t);
	settle(&t);
	check_egress(&t);
	netvsp_rig_destroy(t.rig);
	return 0;
}
