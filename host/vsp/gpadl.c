/* SPDX-License-Identifier: MIT */
/*
 * Views of GPADLs for I/O threads.
 *
 *   I/O thread: vsp_gpadl_map()  -->  control: find, take the bus's reference  -->  mapped()
 *   any: last vsp_gpadl_put()    -->  control: put the bus's reference, free the view
 *   control: GPADL_TEARDOWN      -->  I/O thread: torn_down()
 *
 * References of a view: the VSP's, and one while torn_down() is posted. The bus
 * answers GPADL_TEARDOWN when its last reference is put, and a channel that closes
 * waits until all its views are freed: so no view outlives the guest's consent.
 *
 * Pages are found by the GPADL's list of PFNs, which the bus has checked to be
 * RAM; it does not change while it has a reference.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/vsp_impl.h"

struct vsp_gpadl {
	/* fixed */
	struct vsp_channel *ch;
	struct gpadl *gpadl; /* with a reference */
	const struct gmem *gmem;
	const uint64_t *pfns;
	uint64_t size; /* bytes */
	void (*torn_down)(struct vsp_channel *ch, struct vsp_gpadl *gpadl);
	/* any thread */
	_Atomic uint32_t refs;
	/* control thread */
	struct list link; /* ch->gpadls */
	bool teardown;    /* the guest asks for it: tear_task was posted */
	/* posted */
	struct loop_task tear_task;
	struct loop_task free_task; /* by the thread that puts the last reference */
};

/* ---- life ---------------------------------------------------------------- */

static int view_create(struct vsp_channel *ch, struct vsp_gpadl_map *map, struct gpadl *gpadl)
{
	struct vsp_gpadl *v = calloc(1, sizeof(*v));
	uint32_t pages;

	if (!v)
		return -ENOMEM;
	gpadl_get(gpadl);
	v->ch = ch;
	v->gpadl = gpadl;
	v->gmem = ch->dev->host->gmem;
	v->pfns = gpadl_pfns(gpadl, &pages);
	v->size = (uint64_t)pages * HV_PAGE_SIZE;
	v->torn_down = map->torn_down;
	atomic_init(&v->refs, 1);
	list_add_tail(&ch->gpadls, &v->link);
	map->gpadl = v;
	return 0;
}

static void find(struct vsp_channel *ch, struct vsp_gpadl_map *map)
{
	struct gpadl *gpadl = bus_gpadl_find(ch->offer->bus_chan, map->handle);

	if (!gpadl)
		map->error = -ENOENT;
	else if (!gpadl_is_whole_pages(gpadl))
		map->error = -EINVAL;
	else
		map->error = view_create(ch, map, gpadl);
}

static void map_on_control(struct vsp_call *call)
{
	find(call->ch, container_of(call, struct vsp_gpadl_map, call));
	vsp_call_done(call);
}

void vsp_gpadl_find(struct vsp_channel *ch, struct vsp_gpadl_map *map)
{
	ON_CONTROL(ch->dev);
	map->gpadl = NULL;
	find(ch, map);
}

uint32_t vsp_gpadl_handle(const struct vsp_gpadl *v)
{
	return gpadl_id(v->gpadl);
}

static void mapped_on_io_thread(struct vsp_call *call)
{
	struct vsp_gpadl_map *map = container_of(call, struct vsp_gpadl_map, call);

	map->mapped(map, map->gpadl, map->error);
}

void vsp_gpadl_map(struct vsp_channel *ch, struct vsp_gpadl_map *map)
{
	map->gpadl = NULL;
	vsp_control_call(ch, &map->call, map_on_control, mapped_on_io_thread);
}

static void free_on_control(struct loop_task *task)
{
	struct vsp_gpadl *v = container_of(task, struct vsp_gpadl, free_task);
	struct vsp_channel *ch = v->ch;

	ON_CONTROL(ch->dev);
	list_del(&v->link);
	gpadl_put(v->gpadl);
	free(v);
	vsp_channel_check_gone(ch);
}

void vsp_gpadl_get(struct vsp_gpadl *v)
{
	uint32_t before = atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);

	assert(before);
}

void vsp_gpadl_put(struct vsp_gpadl *v)
{
	uint32_t before = atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel);

	assert(before);
	if (before == 1)
		vsp_post(v->ch->dev->host->control, &v->free_task, free_on_control);
}

void vsp_gpadls_check_put(const struct vsp_channel *ch)
{
	list_for_each (pos, &ch->gpadls) {
		struct vsp_gpadl *v = container_of(pos, struct vsp_gpadl, link);

		assert(atomic_load(&v->refs) <= v->teardown);
	}
}

/* ---- teardown ------------------------------------------------------------ */

/* False: free_task is posted already. */
static bool get_unless_free(struct vsp_gpadl *v)
{
	uint32_t refs = atomic_load(&v->refs);

	while (refs && !atomic_compare_exchange_weak(&v->refs, &refs, refs + 1))
		;
	return refs;
}

static void tear_on_io_thread(struct loop_task *task)
{
	struct vsp_gpadl *v = container_of(task, struct vsp_gpadl, tear_task);
	struct vsp_channel *ch = v->ch;

	ON_IO_THREAD(ch);
	if (v->torn_down && ch->stage < VSP_STAGE_CLOSED && atomic_load(&v->refs) > 1)
		v->torn_down(ch, v);
	vsp_gpadl_put(v);
}

void vsp_gpadl_teardown(struct bus_channel *bus_chan, struct gpadl *gpadl)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = offer->ch;

	ON_CONTROL(offer->dev);
	if (!ch)
		return;
	list_for_each (pos, &ch->gpadls) {
		struct vsp_gpadl *v = container_of(pos, struct vsp_gpadl, link);

		if (v->gpadl != gpadl || !get_unless_free(v))
			continue;
		v->teardown = true;
		vsp_post(ch->io_thread, &v->tear_task, tear_on_io_thread);
	}
}

/* ---- access -------------------------------------------------------------- */

static bool inside(const struct vsp_gpadl *v, uint64_t offset, size_t len)
{
	return offset <= v->size && len <= v->size - offset;
}

/* The longest piece of contiguous guest memory at offset, at most len bytes; both inside. */
static uint8_t *piece(const struct vsp_gpadl *v, uint64_t offset, size_t len, size_t *piece_len)
{
	uint64_t page = offset >> HV_PAGE_SHIFT;
	uint64_t pfn = v->pfns[page];
	size_t in_page = offset & (HV_PAGE_SIZE - 1), run = HV_PAGE_SIZE - in_page;

	while (run < len && v->pfns[page + 1] == v->pfns[page] + 1) {
		page++;
		run += HV_PAGE_SIZE;
	}
	*piece_len = run < len ? run : len;
	return (GUEST_FORCE uint8_t *)gmem_at(v->gmem, pfn << HV_PAGE_SHIFT, HV_PAGE_SIZE) +
	       in_page;
}

uint64_t vsp_gpadl_size(const struct vsp_gpadl *v)
{
	return v->size;
}

int vsp_gpadl_copy_to(struct vsp_gpadl *v, uint64_t offset, const void *from, size_t len)
{
	const uint8_t *bytes = from;

	if (!inside(v, offset, len))
		return -EFAULT;
	while (len) {
		size_t n;
		uint8_t *guest = piece(v, offset, len, &n);

		memcpy(guest, bytes, n);
		bytes += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int vsp_gpadl_iov(struct vsp_gpadl *v, uint64_t offset, size_t len, struct iovec *iov, uint32_t max)
{
	uint32_t count = 0;

	if (!inside(v, offset, len))
		return -EFAULT;
	for (; len; count++) {
		size_t n;

		if (count == max)
			return -EMSGSIZE;
		iov[count].iov_base = piece(v, offset, len, &n);
		iov[count].iov_len = n;
		offset += n;
		len -= n;
	}
	return (int)count;
}

void GUEST_SHARED *vsp_gpadl_at(struct vsp_gpadl *v, uint64_t offset, size_t len)
{
	size_t n;
	uint8_t *base;

	if (!len || !inside(v, offset, len))
		return NULL;
	base = piece(v, offset, len, &n);
	return n == len ? (GUEST_FORCE void GUEST_SHARED *)base : NULL;
}
