/* SPDX-License-Identifier: MIT */
/* Memory of the guest NIC's driver: regions of pages that go backwards, and their GPADLs. */
#include <string.h>

#include "tests/support/guest_nic_impl.h"

#define GPADL_WORDS VMBUS_GPADL_HEADER_PFNS_MAX

uint64_t guest_nic_page(uint64_t gpa, uint32_t bytes, uint32_t index)
{
	return gpa + bytes - (uint64_t)(index + 1) * HV_PAGE_SIZE;
}

void guest_nic_copy(struct guest_nic *n, uint64_t gpa, uint32_t size, uint32_t offset, void *bytes,
	uint32_t len, bool put)
{
	uint8_t *at = bytes;

	while (len) {
		uint8_t *page = guest_at(n->g, guest_nic_page(gpa, size, offset / HV_PAGE_SIZE));
		uint32_t in = offset % HV_PAGE_SIZE;
		uint32_t piece = HV_PAGE_SIZE - in < len ? HV_PAGE_SIZE - in : len;

		if (put)
			memcpy(page + in, at, piece);
		else
			memcpy(at, page + in, piece);
		at += piece;
		offset += piece;
		len -= piece;
	}
}

uint32_t guest_nic_gpadl(struct guest_nic *n, uint64_t gpa, uint32_t bytes)
{
	uint32_t pages = bytes / HV_PAGE_SIZE, done = 0;
	uint32_t relid = n->channels[0].offer.relid, id = n->g->next_gpadl++;
	struct vmbus_gpadl_created created;
	union {
		struct vmbus_gpadl_header header;
		struct vmbus_gpadl_body body;
		uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	} msg;

	for (uint32_t first = 1; done < pages; first = 0) {
		uint32_t max = first ? GPADL_WORDS : VMBUS_GPADL_BODY_PFNS_MAX;
		uint32_t n_words = pages - done < max ? pages - done : max;
		uint64_t words[GPADL_WORDS + VMBUS_GPADL_BODY_PFNS_MAX + 1];
		uint32_t at = 0;

		memset(&msg, 0, sizeof(msg));
		if (first)
			words[at++] = bytes;
		for (uint32_t i = 0; i < n_words; i++)
			words[at++] = guest_nic_page(gpa, bytes, done++) / HV_PAGE_SIZE;
		if (first) {
			msg.header.relid = relid;
			msg.header.gpadl = id;
			msg.header.range_buflen = (uint16_t)((pages + 1) * sizeof(words[0]));
			msg.header.range_count = 1;
			memcpy(msg.header.ranges, words, at * sizeof(words[0]));
			guest_post(n->g, VMBUS_MSG_GPADL_HEADER, &msg,
				(uint32_t)(sizeof(msg.header) + at * sizeof(words[0])));
		} else {
			msg.body.gpadl = id;
			memcpy(msg.body.ranges, words, at * sizeof(words[0]));
			guest_post(n->g, VMBUS_MSG_GPADL_BODY, &msg,
				(uint32_t)(sizeof(msg.body) + at * sizeof(words[0])));
		}
	}
	guest_expect(n->g, VMBUS_MSG_GPADL_CREATED, &created, sizeof(created));
	if (created.gpadl != id || created.status)
		die("GPADL %u: status %#x", created.gpadl, created.status);
	return id;
}

void guest_nic_tear_down(struct guest_nic *n, uint32_t gpadl)
{
	struct vmbus_gpadl_teardown msg = {.relid = n->channels[0].offer.relid, .gpadl = gpadl};
	struct vmbus_gpadl_torndown torndown;

	guest_post(n->g, VMBUS_MSG_GPADL_TEARDOWN, &msg, sizeof(msg));
	guest_expect(n->g, VMBUS_MSG_GPADL_TORNDOWN, &torndown, sizeof(torndown));
	if (torndown.gpadl != gpadl)
		die("GPADL %u torn down instead of %u", torndown.gpadl, gpadl);
}
