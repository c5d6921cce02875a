/* SPDX-License-Identifier: MIT */
#include "vsp/netvsp/buffers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "nic/nic.h"

#define HALF_PAGE (HV_PAGE_SIZE / 2)

/* ---- life ---------------------------------------------------------------- */

/* A whole frame with a tag, and one byte more, so that a longer one is seen to be longer. */
uint32_t recv_section_size(uint32_t mtu)
{
	uint32_t size = RNDIS_RX_HEADROOM + NIC_ETH_HEADER + 2 * NIC_VLAN_TAG + mtu + 1;

	if (size <= HALF_PAGE)
		return HALF_PAGE;
	return (size + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE * HV_PAGE_SIZE;
}

static uint64_t recv_cost(uint64_t sections)
{
	const struct netvsp_recv *recv = NULL;

	return sizeof(*recv) + sections * (sizeof(recv->transfers[0]) + sizeof(*recv->next_free));
}

static struct netvsp_recv *recv_alloc(uint64_t sections, struct budget *budget)
{
	struct netvsp_recv *recv;

	if (!budget_take(budget, BUDGET_GPADLS, recv_cost(sections)))
		return NULL;
	recv = calloc(1, recv_cost(sections));
	if (!recv) {
		budget_give(budget, BUDGET_GPADLS, recv_cost(sections));
		return NULL;
	}
	recv->budget = budget;
	recv->sections = (uint32_t)sections;
	recv->next_free = (uint16_t *)&recv->transfers[sections];
	return recv;
}

struct netvsp_recv *recv_create(
	struct vsp_gpadl *gpadl, uint16_t id, uint32_t mtu, struct budget *budget)
{
	uint32_t size = recv_section_size(mtu);
	uint64_t sections = vsp_gpadl_size(gpadl) / size;
	struct netvsp_recv *recv;

	if (sections < RECV_SECTIONS_MIN || sections > UINT16_MAX)
		return NULL;
	recv = recv_alloc(sections, budget);
	if (!recv)
		return NULL;
	atomic_init(&recv->refs, 1);
	recv->gpadl = gpadl;
	recv->id = id;
	recv->section_size = size;
	recv->pages = (size + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;
	return recv;
}

struct netvsp_send *send_create(struct vsp_gpadl *gpadl)
{
	uint64_t sections = vsp_gpadl_size(gpadl) / SEND_SECTION_SIZE;
	struct netvsp_send *send = sections ? calloc(1, sizeof(*send)) : NULL;

	if (!send)
		return NULL;
	atomic_init(&send->refs, 1);
	send->gpadl = gpadl;
	send->sections = sections < NVSP_SECTIONS_MAX ? (uint32_t)sections : NVSP_SECTIONS_MAX;
	return send;
}

void recv_get(struct netvsp_recv *recv)
{
	if (recv)
		atomic_fetch_add_explicit(&recv->refs, 1, memory_order_relaxed);
}

void recv_put(struct netvsp_recv *recv)
{
	if (!recv || atomic_fetch_sub_explicit(&recv->refs, 1, memory_order_acq_rel) != 1)
		return;
	budget_give(recv->budget, BUDGET_GPADLS, recv_cost(recv->sections));
	free(recv);
}

void send_get(struct netvsp_send *send)
{
	if (send)
		atomic_fetch_add_explicit(&send->refs, 1, memory_order_relaxed);
}

void send_put(struct netvsp_send *send)
{
	if (send && atomic_fetch_sub_explicit(&send->refs, 1, memory_order_acq_rel) == 1)
		free(send);
}

/* ---- sections ------------------------------------------------------------ */

static uint8_t *at(struct netvsp_recv *recv, uint64_t offset, size_t len)
{
	void GUEST_SHARED *p = vsp_gpadl_at(recv->gpadl, offset, len);

	assert(p);
	return (GUEST_FORCE uint8_t *)p;
}

void recv_section_iov(struct netvsp_recv *recv, uint32_t section, struct iovec *iov)
{
	uint64_t offset = (uint64_t)section * recv->section_size;
	uint64_t end = offset + recv->section_size;

	offset += RNDIS_RX_HEADROOM;
	for (uint32_t i = 0; i < recv->pages; i++) {
		uint64_t left = HV_PAGE_SIZE - offset % HV_PAGE_SIZE;
		size_t len = left < end - offset ? left : end - offset;

		iov[i] = (struct iovec){at(recv, offset, len), len};
		offset += len;
	}
}

uint8_t *recv_section_header(struct netvsp_recv *recv, uint32_t section)
{
	return at(recv, (uint64_t)section * recv->section_size, RNDIS_RX_HEADROOM);
}

void recv_share(const struct netvsp_recv *recv, uint32_t index, uint32_t parts, uint32_t *first,
	uint32_t *end)
{
	uint32_t share = (recv->sections - RECV_CONTROL_SECTIONS) / parts;

	*first = RECV_CONTROL_SECTIONS + index * share;
	*end = *first + share;
}

int send_section_iov(
	struct netvsp_send *send, uint32_t section, uint32_t size, struct iovec *iov, uint32_t max)
{
	if (section >= send->sections || size > SEND_SECTION_SIZE)
		return -EINVAL;
	if (!size)
		return 0;
	return vsp_gpadl_iov(send->gpadl, (uint64_t)section * SEND_SECTION_SIZE, size, iov, max);
}
