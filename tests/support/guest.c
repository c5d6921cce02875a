/* SPDX-License-Identifier: MIT */
#include "tests/support/guest.h"
#include "tests/support/guest_impl.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GPADL_PAGES_MAX 65536u

#define die(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "guest: " __VA_ARGS__);                                            \
		fputc('\n', stderr);                                                               \
		abort();                                                                           \
	} while (0)

/* ---- waiting (under lock) ------------------------------------------------ */

void guest_turn(struct guest *g)
{
	loop_stop(&g->control);
	loop_run(&g->control);
}

/* The host may need some turns, and time when a disk is slow. */
static void turn_until_changed(struct guest *g, const char *what)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;
	uint64_t seen = g->events;

	pthread_mutex_unlock(&g->lock);
	while (guest_events(g) == seen) {
		guest_turn(g);
		if (loop_now_ns() > until)
			die("nothing has happened for %d ms, waiting for %s", GUEST_TIMEOUT_MS,
				what);
	}
	pthread_mutex_lock(&g->lock);
}

void guest_wait_changed(struct guest *g, const char *what)
{
	struct timespec until;

	if (g->single) {
		turn_until_changed(g, what);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += GUEST_TIMEOUT_MS / 1000;
	if (pthread_cond_timedwait(&g->changed, &g->lock, &until))
		die("nothing has happened for %d ms, waiting for %s", GUEST_TIMEOUT_MS, what);
}

void guest_changed(struct guest *g)
{
	g->events++;
	pthread_cond_broadcast(&g->changed);
}

uint64_t guest_events(struct guest *g)
{
	uint64_t events;

	pthread_mutex_lock(&g->lock);
	events = g->events;
	pthread_mutex_unlock(&g->lock);
	return events;
}

void guest_wait_events(struct guest *g, uint64_t seen)
{
	pthread_mutex_lock(&g->lock);
	while (g->events == seen)
		guest_wait_changed(g, "an event");
	pthread_mutex_unlock(&g->lock);
}

/* ---- what the host calls ------------------------------------------------- */

static void take_offer(struct guest *g, const void *msg)
{
	if (g->offer_count == GUEST_OFFERS_MAX)
		die("too many offers");
	g->offers[g->offer_count] = (struct guest_offer){0};
	memcpy(&g->offers[g->offer_count].offer, msg, sizeof(struct vmbus_offer));
	g->offer_count++;
}

static void take_rescind(struct guest *g, const struct vmbus_relid_msg *msg)
{
	for (uint32_t i = 0; i < g->offer_count; i++)
		if (g->offers[i].offer.relid == msg->relid)
			g->offers[i].rescinded = true;
}

static void take_message(struct guest *g, const void *msg, uint32_t len)
{
	uint32_t slot = (g->message_first + g->message_count) % GUEST_MESSAGES_MAX;

	if (g->message_count == GUEST_MESSAGES_MAX)
		die("too many messages");
	g->messages[slot].len = len;
	memcpy(g->messages[slot].bytes, msg, len);
	g->message_count++;
}

static int port_send(void *ctx, uint32_t vp, uint32_t sint, const void *msg, uint32_t len)
{
	const struct vmbus_msg_header *header = msg;
	struct guest *g = ctx;

	pthread_mutex_lock(&g->lock);
	if (header->type == VMBUS_MSG_OFFER)
		take_offer(g, msg);
	else if (header->type == VMBUS_MSG_RESCIND)
		take_rescind(g, msg);
	else
		take_message(g, msg, len);
	guest_changed(g);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static void port_flush(void *ctx)
{
	struct guest *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->message_count = 0;
	pthread_mutex_unlock(&g->lock);
}

static const struct bus_port_ops port_ops = {
	.send = port_send,
	.flush = port_flush,
};

static void interrupt(void *ctx, uint32_t vp, uint32_t flag)
{
	struct guest *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->interrupts++;
	guest_changed(g);
	pthread_mutex_unlock(&g->lock);
}

static int doorbell_add(void *ctx, uint32_t connection_id, int fd)
{
	struct guest *g = ctx;
	int ret = -ENOSPC;

	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < GUEST_DOORBELLS && ret; i++) {
		if (g->doorbells[i].connection_id)
			continue;
		g->doorbells[i].connection_id = connection_id;
		g->doorbells[i].fd = fd;
		ret = 0;
	}
	pthread_mutex_unlock(&g->lock);
	return ret;
}

static void doorbell_del(void *ctx, uint32_t connection_id, int fd)
{
	struct guest *g = ctx;

	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < GUEST_DOORBELLS; i++)
		if (g->doorbells[i].connection_id == connection_id)
			g->doorbells[i].connection_id = 0;
	pthread_mutex_unlock(&g->lock);
}

static const struct vsp_host_ops host_ops = {
	.interrupt = interrupt,
	.doorbell_add = doorbell_add,
	.doorbell_del = doorbell_del,
};

/* Under the lock, so that the descriptor cannot be closed meanwhile. */
void guest_ring_doorbell(struct guest *g, uint32_t connection_id)
{
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < GUEST_DOORBELLS; i++)
		if (g->doorbells[i].connection_id == connection_id)
			loop_event_signal(g->doorbells[i].fd);
	pthread_mutex_unlock(&g->lock);
}

/* ---- life ---------------------------------------------------------------- */

static void start_loops(struct guest *g, uint32_t io_threads)
{
	static const char *const names[GUEST_IO_THREADS_MAX] = {"w0", "w1", "w2", "w3"};

	if (loop_init(&g->control, "control", NULL) ||
		(!g->single && loop_start_as(&g->control, THREAD_HELPER)))
		die("control loop");
	g->io_thread_list[0] = &g->control;
	for (uint32_t i = 0; i < io_threads; i++) {
		if (loop_init(&g->io_threads[i], names[i], NULL) || loop_start(&g->io_threads[i]))
			die("worker loop");
		g->io_thread_list[i] = &g->io_threads[i];
	}
}

static void stop_loop(struct loop *loop)
{
	loop_stop(loop);
	loop_join(loop);
	loop_fini(loop);
}

static void stop_loops(struct guest *g)
{
	if (g->single) {
		loop_fini(&g->control);
		return;
	}
	for (uint32_t i = 0; i < g->host.io_thread_count; i++)
		stop_loop(&g->io_threads[i]);
	stop_loop(&g->control);
}

static void create_bus(void *arg)
{
	struct guest *g = arg;
	struct bus_config config = {
		.gmem = &g->gmem,
		.vp_count = g->host.vp_count,
		.max_version = VMBUS_VERSION_WIN10_V5_3,
		.gpadl_pages_max = GPADL_PAGES_MAX,
		.budget = &g->budget,
		.port = &port_ops,
		.port_ctx = g,
	};

	if (bus_create(&g->bus, &config))
		die("bus");
}

static void create_ram(struct guest *g, const struct guest_config *config)
{
	enum gmem_kind kind = config->shared ? GMEM_SHARED : GMEM_ANONYMOUS;
	int ret;

	if (config->dynamic)
		ret = gmem_create_dynamic(&g->gmem, kind, config->ram, config->more, NULL);
	else if (config->shared)
		ret = gmem_create_shared(&g->gmem, config->ram, NULL);
	else
		ret = gmem_create(&g->gmem, config->ram, NULL);
	if (ret)
		die("memory");
}

void guest_start(struct guest *g, const struct guest_config *config)
{
	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
	g->next_gpadl = 1;
	g->single = config->io_threads == 0;
	create_ram(g, config);
	start_loops(g, config->io_threads);
	g->host.vp_count = config->vps;
	budget_init(&g->budget, config->budget ? config->budget : BUDGET_DEFAULT);
	loop_call(&g->control, create_bus, g);
	g->host = (struct vsp_host){
		.gmem = &g->gmem,
		.budget = &g->budget,
		.bus = g->bus,
		.control = &g->control,
		.io_threads = g->io_thread_list,
		.io_thread_count = config->io_threads ? config->io_threads : 1,
		.vp_count = config->vps,
		.ops = &host_ops,
		.ctx = g,
	};
}

static void shut_down_done(void *ctx)
{
	struct guest *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->shut_down = true;
	guest_changed(g);
	pthread_mutex_unlock(&g->lock);
}

static void shut_down(void *arg)
{
	struct guest *g = arg;

	bus_shutdown(g->bus, shut_down_done, g);
}

static void destroy_all(void *arg)
{
	struct guest *g = arg;

	for (uint32_t i = 0; i < g->device_count; i++)
		if (g->devices[i])
			vsp_device_destroy(g->devices[i]);
	bus_destroy(g->bus);
}

void guest_shut_down(struct guest *g)
{
	loop_call(&g->control, shut_down, g);
	pthread_mutex_lock(&g->lock);
	while (!g->shut_down)
		guest_wait_changed(g, "the bus to shut down");
	pthread_mutex_unlock(&g->lock);
}

void guest_new_bus(struct guest *g)
{
	loop_call(&g->control, destroy_all, g);
	g->device_count = 0;
	g->shut_down = false;
	loop_call(&g->control, create_bus, g);
	g->host.bus = g->bus;
	g->host.restore_failed = false;
}

void guest_stop(struct guest *g)
{
	if (!g->shut_down)
		guest_shut_down(g);
	loop_call(&g->control, destroy_all, g);
	stop_loops(g);
	if (budget_used(&g->budget))
		die("%llu bytes of the budget are not given back",
			(unsigned long long)budget_used(&g->budget));
	gmem_destroy(&g->gmem);
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
}

void guest_control(struct guest *g, void (*fn)(void *arg), void *arg)
{
	loop_call(&g->control, fn, arg);
}

static void nothing(void *arg)
{
}

void guest_run_host(struct guest *g)
{
	if (g->single) {
		guest_turn(g);
		return;
	}
	guest_control(g, nothing, NULL);
	for (uint32_t i = 0; i < g->host.io_thread_count; i++)
		loop_call(g->host.io_threads[i], nothing, NULL);
	sched_yield();
}

/* ---- devices ------------------------------------------------------------- */

struct add_device {
	struct guest *g;
	const struct vsp_ops *ops;
	struct hv_guid instance;
	const void *config;
	struct vsp_device *dev;
};

static void add_device(void *arg)
{
	struct add_device *a = arg;
	struct err e = {{0}};

	if (vsp_device_create(&a->dev, &a->g->host, a->ops, &a->instance, a->config, &e))
		die("%s", e.text);
}

struct vsp_device *guest_add_device(
	struct guest *g, const struct vsp_ops *ops, uint8_t instance, const void *config)
{
	struct add_device a = {.g = g, .ops = ops, .config = config};

	if (g->device_count == GUEST_DEVICES_MAX)
		die("too many devices");
	memset(a.instance.b, 0x11, sizeof(a.instance.b));
	a.instance.b[15] = instance;
	loop_call(&g->control, add_device, &a);
	g->devices[g->device_count++] = a.dev;
	return a.dev;
}

struct removal {
	struct guest *g;
	struct vsp_device *dev;
};

/* On the control thread, the bus has forgotten the device. */
static void removed(void *ctx)
{
	struct removal *r = ctx;
	struct guest *g = r->g;

	vsp_device_destroy(r->dev);
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < g->device_count; i++)
		if (g->devices[i] == r->dev)
			g->devices[i] = NULL;
	guest_changed(g);
	pthread_mutex_unlock(&g->lock);
	free(r);
}

static void remove_device(void *arg)
{
	struct removal *r = arg;

	vsp_device_remove(r->dev, removed, r);
}

void guest_remove_device(struct guest *g, struct vsp_device *dev)
{
	struct removal *r = malloc(sizeof(*r));

	if (!r)
		die("memory");
	*r = (struct removal){.g = g, .dev = dev};
	loop_call(&g->control, remove_device, r);
}

static bool device_exists(struct guest *g, struct vsp_device *dev)
{
	for (uint32_t i = 0; i < g->device_count; i++)
		if (g->devices[i] == dev)
			return true;
	return false;
}

void guest_wait_removed(struct guest *g, struct vsp_device *dev)
{
	pthread_mutex_lock(&g->lock);
	while (device_exists(g, dev))
		guest_wait_changed(g, "a device to be removed");
	pthread_mutex_unlock(&g->lock);
}

/* ---- memory -------------------------------------------------------------- */

uint64_t guest_ram(struct guest *g, uint64_t bytes)
{
	uint64_t gpa = g->next_gpa;

	bytes = (bytes + HV_PAGE_SIZE - 1) & ~(uint64_t)(HV_PAGE_SIZE - 1);
	if (!gmem_contains(&g->gmem, gpa, bytes))
		die("out of RAM");
	g->next_gpa += bytes;
	return gpa;
}

void *guest_at(struct guest *g, uint64_t gpa)
{
	return (void *)gmem_at(&g->gmem, gpa, 1);
}

/* ---- messages ------------------------------------------------------------ */

struct post {
	struct bus *bus;
	const void *msg;
	uint32_t len;
};

static void post_message(void *arg)
{
	struct post *p = arg;

	bus_message(p->bus, p->msg, p->len);
}

void guest_post(struct guest *g, uint32_t type, void *msg, uint32_t len)
{
	struct post p = {.bus = g->bus, .msg = msg, .len = len};

	*(struct vmbus_msg_header *)msg = (struct vmbus_msg_header){.type = type};
	loop_call(&g->control, post_message, &p);
}

void guest_expect(struct guest *g, uint32_t type, void *msg, uint32_t len)
{
	const struct guest_message *m;
	uint32_t got;

	pthread_mutex_lock(&g->lock);
	while (g->message_count == 0)
		guest_wait_changed(g, "a message");
	m = &g->messages[g->message_first];
	memcpy(&got, m->bytes, sizeof(got));
	if (got != type || m->len < len)
		die("message %u of %u bytes instead of %u", got, m->len, type);
	memcpy(msg, m->bytes, len);
	g->message_first = (g->message_first + 1) % GUEST_MESSAGES_MAX;
	g->message_count--;
	pthread_mutex_unlock(&g->lock);
}

static void forget_offers(struct guest *g)
{
	pthread_mutex_lock(&g->lock);
	g->offer_count = 0;
	pthread_mutex_unlock(&g->lock);
}

void guest_connect(struct guest *g, uint32_t version)
{
	struct vmbus_initiate_contact contact = {.version = version};
	struct vmbus_version_response response;
	struct vmbus_msg_header header;

	if (version >= VMBUS_VERSION_WIN10_V5)
		contact.sint = VMBUS_SINT;
	guest_post(g, VMBUS_MSG_INITIATE_CONTACT, &contact, sizeof(contact));
	guest_expect(g, VMBUS_MSG_VERSION_RESPONSE, &response, sizeof(response));
	if (!response.version_supported || response.connection_state)
		die("version %#x refused", version);
	forget_offers(g);
	guest_post(g, VMBUS_MSG_REQUEST_OFFERS, &header, sizeof(header));
	guest_expect(g, VMBUS_MSG_ALL_OFFERS_DELIVERED, &header, sizeof(header));
}

static const struct guest_offer *find_offer(
	struct guest *g, const struct hv_guid *class_id, uint8_t instance, uint16_t index)
{
	for (uint32_t i = 0; i < g->offer_count; i++) {
		const struct vmbus_offer *o = &g->offers[i].offer;

		if (!memcmp(&o->class_id, class_id, sizeof(*class_id)) && !g->offers[i].rescinded &&
			o->instance_id.b[15] == instance && o->sub_channel_index == index)
			return &g->offers[i];
	}
	return NULL;
}

/* A relid the guest has released may be offered again: the old offer must not be found. */
static void forget_offer(struct guest *g, uint32_t relid)
{
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < g->offer_count; i++) {
		if (g->offers[i].offer.relid != relid)
			continue;
		g->offers[i] = g->offers[--g->offer_count];
		break;
	}
	pthread_mutex_unlock(&g->lock);
}

struct vmbus_offer guest_wait_offer(
	struct guest *g, const struct hv_guid *class_id, uint8_t instance, uint16_t index)
{
	const struct guest_offer *found;
	struct vmbus_offer offer;

	pthread_mutex_lock(&g->lock);
	while (!(found = find_offer(g, class_id, instance, index)))
		guest_wait_changed(g, "an offer");
	offer = found->offer;
	pthread_mutex_unlock(&g->lock);
	return offer;
}

static const struct guest_offer *find_offer_of(
	struct guest *g, const struct hv_guid *class_id, const struct hv_guid *instance_id)
{
	for (uint32_t i = 0; i < g->offer_count; i++) {
		const struct vmbus_offer *o = &g->offers[i].offer;

		if (!memcmp(&o->class_id, class_id, sizeof(*class_id)) && !g->offers[i].rescinded &&
			(!instance_id ||
				!memcmp(&o->instance_id, instance_id, sizeof(*instance_id))))
			return &g->offers[i];
	}
	return NULL;
}

struct vmbus_offer guest_wait_offer_of(
	struct guest *g, const struct hv_guid *class_id, const struct hv_guid *instance_id)
{
	const struct guest_offer *found;
	struct vmbus_offer offer;

	pthread_mutex_lock(&g->lock);
	while (!(found = find_offer_of(g, class_id, instance_id)))
		guest_wait_changed(g, "an offer");
	offer = found->offer;
	pthread_mutex_unlock(&g->lock);
	return offer;
}

static bool is_rescinded(struct guest *g, uint32_t relid)
{
	for (uint32_t i = 0; i < g->offer_count; i++)
		if (g->offers[i].offer.relid == relid && g->offers[i].rescinded)
			return true;
	return false;
}

void guest_wait_rescind(struct guest *g, uint32_t relid)
{
	pthread_mutex_lock(&g->lock);
	while (!is_rescinded(g, relid))
		guest_wait_changed(g, "a rescind");
	pthread_mutex_unlock(&g->lock);
}

bool guest_is_rescinded(struct guest *g, uint32_t relid)
{
	bool rescinded;

	pthread_mutex_lock(&g->lock);
	rescinded = is_rescinded(g, relid);
	pthread_mutex_unlock(&g->lock);
	return rescinded;
}

void guest_release(struct guest *g, uint32_t relid)
{
	struct vmbus_relid_msg msg = {.relid = relid};

	forget_offer(g, relid);
	guest_post(g, VMBUS_MSG_RELID_RELEASED, &msg, sizeof(msg));
}
