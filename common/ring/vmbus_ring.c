/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Ordering. Each shared store that a load of the peer depends on has a letter;
 * "pairs with" names that load. Producer on the left, consumer on the right:
 *
 *   A  packet bytes, then release write_index  | B  acquire write_index, then packet bytes
 *   C  write_index, fence, mask and read_index | D  interrupt_mask, fence, write_index
 *   E  acquire read_index, then overwrite      | F  packet copied out, then release read_index
 *   G  pending_send_size, fence, read_index    | H  read_index, fence, pending_send_size
 *   J  acquire interrupt_mask, then read_index | K  read_index, then release interrupt_mask
 *   L  write_index, fence C, pending_send_size | M  acquire pending_send_size, then write_index
 *
 * C/D: either the producer sees the cleared mask and its packet in an empty ring, and signals, or
 *      the consumer sees the new data before it sleeps.
 * G/H: either the consumer sees that the producer waits, or the producer sees the room.
 * L/M: a consumer that sees the request for room uses the same index as the producer did.
 */
#include "ring/vmbus_ring.h"

#define PKT_UNIT 8u

/* ---- index arithmetic ---------------------------------------------------- */

static bool index_valid(uint32_t index, uint32_t size)
{
	return index < size && index % PKT_UNIT == 0;
}

static uint32_t index_add(uint32_t index, uint32_t bytes, uint32_t size)
{
	return bytes < size - index ? index + bytes : bytes - (size - index);
}

/* Bytes from `from` forward to `to`; equal indices are 0 apart. */
static uint32_t index_distance(uint32_t from, uint32_t to, uint32_t size)
{
	return to >= from ? to - from : size - from + to;
}

/* ---- memory -------------------------------------------------------------- */

static const struct vmbus_run *data_run(const struct vmbus_ring_data *data, uint32_t n)
{
	return data->runs ? &data->runs[n] : &data->whole;
}

/* Byte `offset` of run n; offset is less than its bytes. */
static struct vmbus_ring_place place_in(
	const struct vmbus_ring_data *data, uint32_t n, uint32_t offset)
{
	const struct vmbus_run *run = data_run(data, n);

	return (struct vmbus_ring_place){run->at + offset, run->bytes - offset, n};
}

/* The place of a ring offset, which is valid. */
static struct vmbus_ring_place place_of(const struct vmbus_ring_data *data, uint32_t offset)
{
	uint32_t n = 0;

	while (offset >= data_run(data, n)->bytes)
		offset -= data_run(data, n++)->bytes;
	return place_in(data, n, offset);
}

/* Where the next run begins; behind the last one is the first. */
static struct vmbus_ring_place place_next(const struct vmbus_ring_data *data, uint32_t run)
{
	return place_in(data, run + 1 < data->count ? run + 1 : 0, 0);
}

/* In the same run: len is less than what is left there. */
static struct vmbus_ring_place place_forward(struct vmbus_ring_place place, uint32_t len)
{
	place.at += len;
	place.left -= len;
	return place;
}

static struct vmbus_ring_place place_skip(
	const struct vmbus_ring_data *data, struct vmbus_ring_place place, uint32_t len)
{
	while (len >= place.left) {
		len -= place.left;
		place = place_next(data, place.run);
	}
	return place_forward(place, len);
}

static struct vmbus_ring_place place_back(
	const struct vmbus_ring_data *data, struct vmbus_ring_place place, uint32_t len)
{
	uint32_t n = place.run, before = data_run(data, n)->bytes - place.left;

	while (len > before) {
		len -= before;
		n = n ? n - 1 : data->count - 1;
		before = data_run(data, n)->bytes;
	}
	return place_in(data, n, before - len);
}

/* The data of a ring in one piece: what is behind its control page. */
static struct vmbus_ring_data data_whole(void RING_SHARED *ring, uint32_t bytes)
{
	if (!ring || bytes < HV_PAGE_SIZE)
		return (struct vmbus_ring_data){.count = 0};
	return (struct vmbus_ring_data){
		.count = 1,
		.whole = {(uint8_t RING_SHARED *)ring + HV_PAGE_SIZE, bytes - HV_PAGE_SIZE},
	};
}

/* Bytes of all runs; 0: they are no ring. */
static uint32_t data_size(const struct vmbus_ring_data *data)
{
	uint32_t size = 0, n;

	for (n = 0; n < data->count; n++) {
		uint32_t bytes = data_run(data, n)->bytes;

		if (!bytes || bytes % HV_PAGE_SIZE || bytes > VMBUS_RING_SIZE_MAX - size)
			return 0;
		size += bytes;
	}
	return size;
}

/* ---- producer ------------------------------------------------------------ */

static int tx_init(struct vmbus_tx *tx, struct vmbus_ring_ctl RING_SHARED *ctl,
	const struct vmbus_ring_data *data)
{
	uint32_t size = data_size(data), read, write;

	if (!size)
		return -EINVAL;
	write = ring_load(&ctl->write_index);
	read = ring_load_acquire(&ctl->read_index); /* E */
	if (!index_valid(write, size) || !index_valid(read, size))
		return -EPROTO;
	*tx = (struct vmbus_tx){
		.ctl = ctl,
		.place = place_of(data, write),
		.size = size,
		.write = write,
		.published = write,
		.peer_read = read,
		.data = *data,
	};
	ring_store(&ctl->pending_send_size, 0);
	ring_store(&ctl->feature_bits, VMBUS_RING_FEAT_PENDING_SEND_SIZE);
	return 0;
}

int vmbus_tx_init(struct vmbus_tx *tx, void RING_SHARED *ring, uint32_t bytes)
{
	struct vmbus_ring_data data = data_whole(ring, bytes);

	return tx_init(tx, ring, &data);
}

int vmbus_tx_init_runs(
	struct vmbus_tx *tx, void RING_SHARED *ctl, const struct vmbus_run *runs, uint32_t count)
{
	struct vmbus_ring_data data = {.runs = runs, .count = count};

	return tx_init(tx, ctl, &data);
}

static struct vmbus_ring_place put_across(const struct vmbus_ring_data *data,
	struct vmbus_ring_place place, const uint8_t *src, uint32_t len)
{
	while (len >= place.left) {
		ring_copy_in(place.at, src, place.left);
		src += place.left;
		len -= place.left;
		place = place_next(data, place.run);
	}
	ring_copy_in(place.at, src, len);
	return place_forward(place, len);
}

/* Copies in. Returns the place behind it. */
static inline struct vmbus_ring_place place_put(const struct vmbus_ring_data *data,
	struct vmbus_ring_place place, const void *src, uint32_t len)
{
	if (len >= place.left)
		return put_across(data, place, src, len);
	ring_copy_in(place.at, src, len);
	return place_forward(place, len);
}

static struct vmbus_ring_place put_vec(const struct vmbus_ring_data *data,
	struct vmbus_ring_place place, const struct vmbus_vec *vec)
{
	return vec->len ? place_put(data, place, vec->base, vec->len) : place;
}

/* Zeroes the padding up to the next unit: the peer reads it. A run is a multiple of the unit. */
static struct vmbus_ring_place put_padding(
	const struct vmbus_ring_data *data, struct vmbus_ring_place place)
{
	static const uint8_t zero[PKT_UNIT];
	uint32_t len = place.left % PKT_UNIT;

	return len ? place_put(data, place, zero, len) : place;
}

/* Bytes that can be staged by the read index last loaded: never all, since a full ring would look
 * empty. */
static uint32_t tx_free(const struct vmbus_tx *tx, uint32_t read)
{
	return tx->size - index_distance(read, tx->write, tx->size) - PKT_UNIT;
}

static int tx_reload(struct vmbus_tx *tx)
{
	uint32_t read = ring_load_acquire(&tx->ctl->read_index); /* E: pairs with F */

	if (!index_valid(read, tx->size))
		return -EPROTO;
	tx->peer_read = read;
	return 0;
}

/* True: the ring was empty before this batch, and the consumer wants a signal. */
static bool tx_publish(struct vmbus_tx *tx)
{
	uint32_t before = tx->published;

	if (tx->write == before)
		return false;
	ring_store_release(&tx->ctl->write_index, tx->write); /* A: pairs with B */
	tx->published = tx->write;
	ring_full_fence();                               /* C: pairs with D */
	if (ring_load_acquire(&tx->ctl->interrupt_mask)) /* J: pairs with K */
		return false;
	return ring_load(&tx->ctl->read_index) == before;
}

/* Requests a signal when more than `need` bytes are free; 0 when they are already. */
static int tx_ask_room(struct vmbus_tx *tx, uint32_t need)
{
	int err;

	if (tx_publish(tx)) /* L: pairs with M, its fence is C */
		tx->signal = true;
	ring_store(&tx->ctl->pending_send_size, need);
	tx->pending = true;
	ring_full_fence(); /* G: pairs with H */
	err = tx_reload(tx);
	if (err)
		return err;
	return need <= tx_free(tx, tx->peer_read) ? 0 : -EAGAIN;
}

static int tx_reserve(struct vmbus_tx *tx, uint32_t need)
{
	int err;

	if (need <= tx_free(tx, tx->peer_read))
		return 0;
	err = tx_reload(tx);
	if (err)
		return err;
	if (need <= tx_free(tx, tx->peer_read))
		return 0;
	return tx_ask_room(tx, need);
}

static uint64_t vec_bytes(const struct vmbus_vec *vec, uint32_t count)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		bytes += vec[i].len;
	return (bytes + PKT_UNIT - 1) & ~(uint64_t)(PKT_UNIT - 1);
}

static void tx_put_packet(struct vmbus_tx *tx, const struct vmbus_pkt_desc *desc,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count)
{
	const uint32_t trailer[2] = {0, tx->write};
	const struct vmbus_ring_data *data = &tx->data;
	struct vmbus_ring_place place = place_put(data, tx->place, desc, sizeof(*desc));
	uint32_t i;

	if (extra)
		place = put_padding(data, put_vec(data, place, extra));
	for (i = 0; i < payload_count; i++)
		place = put_vec(data, place, &payload[i]);
	place = put_padding(data, place);
	tx->place = place_put(data, place, trailer, sizeof(trailer));
	tx->write =
		index_add(tx->write, desc->len8 * PKT_UNIT + (uint32_t)sizeof(trailer), tx->size);
}

int vmbus_tx_write(struct vmbus_tx *tx, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count)
{
	uint64_t offset = sizeof(struct vmbus_pkt_desc) + vec_bytes(extra, extra ? 1 : 0);
	uint64_t len = offset + vec_bytes(payload, payload_count);
	struct vmbus_pkt_desc desc;
	int err;

	if (len > VMBUS_PKT_LEN_MAX || len + VMBUS_PKT_TRAILER_SIZE > tx->size - PKT_UNIT)
		return -EMSGSIZE;
	err = tx_reserve(tx, (uint32_t)len + VMBUS_PKT_TRAILER_SIZE);
	if (err)
		return err;
	desc = (struct vmbus_pkt_desc){
		.type = type,
		.offset8 = (uint16_t)(offset / PKT_UNIT),
		.len8 = (uint16_t)(len / PKT_UNIT),
		.flags = flags,
		.trans_id = trans_id,
	};
	tx_put_packet(tx, &desc, extra, payload, payload_count);
	if (tx->pending) {
		ring_store(&tx->ctl->pending_send_size, 0);
		tx->pending = false;
	}
	return 0;
}

bool vmbus_tx_commit(struct vmbus_tx *tx)
{
	bool owed = tx->signal;

	tx->signal = false;
	return tx_publish(tx) || owed;
}

int64_t vmbus_tx_room(const struct vmbus_tx *tx)
{
	uint32_t read = ring_load_acquire(&tx->ctl->read_index); /* E: pairs with F */

	if (!index_valid(read, tx->size))
		return -EPROTO;
	return tx_free(tx, read);
}

int64_t vmbus_tx_used(const struct vmbus_tx *tx)
{
	uint32_t read = ring_load_acquire(&tx->ctl->read_index); /* E: pairs with F */

	if (!index_valid(read, tx->size))
		return -EPROTO;
	return index_distance(read, tx->published, tx->size);
}

bool vmbus_tx_masked(const struct vmbus_tx *tx)
{
	return ring_load(&tx->ctl->interrupt_mask) != 0;
}

/* ---- consumer ------------------------------------------------------------ */

static int rx_init(struct vmbus_rx *rx, struct vmbus_ring_ctl RING_SHARED *ctl,
	const struct vmbus_ring_data *data)
{
	uint32_t size = data_size(data), read, write;

	if (!size)
		return -EINVAL;
	read = ring_load(&ctl->read_index);
	write = ring_load_acquire(&ctl->write_index); /* B */
	if (!index_valid(read, size) || !index_valid(write, size))
		return -EPROTO;
	*rx = (struct vmbus_rx){
		.ctl = ctl,
		.place = place_of(data, read),
		.size = size,
		.read = read,
		.peer_write = write,
		.data = *data,
	};
	return 0;
}

int vmbus_rx_init(struct vmbus_rx *rx, void RING_SHARED *ring, uint32_t bytes)
{
	struct vmbus_ring_data data = data_whole(ring, bytes);

	return rx_init(rx, ring, &data);
}

int vmbus_rx_init_runs(
	struct vmbus_rx *rx, void RING_SHARED *ctl, const struct vmbus_run *runs, uint32_t count)
{
	struct vmbus_ring_data data = {.runs = runs, .count = count};

	return rx_init(rx, ctl, &data);
}

static struct vmbus_ring_place get_across(const struct vmbus_ring_data *data,
	struct vmbus_ring_place place, uint8_t *dst, uint32_t len)
{
	while (len >= place.left) {
		ring_copy_out(dst, place.at, place.left);
		dst += place.left;
		len -= place.left;
		place = place_next(data, place.run);
	}
	ring_copy_out(dst, place.at, len);
	return place_forward(place, len);
}

/* Copies out. Returns the place behind it. */
static inline struct vmbus_ring_place place_get(
	const struct vmbus_ring_data *data, struct vmbus_ring_place place, void *dst, uint32_t len)
{
	if (len >= place.left)
		return get_across(data, place, dst, len);
	ring_copy_out(dst, place.at, len);
	return place_forward(place, len);
}

static uint32_t rx_known(const struct vmbus_rx *rx)
{
	return index_distance(rx->read, rx->peer_write, rx->size);
}

/* A producer must stay one unit behind the published read index, so between two commits it fills at
 * most one ring: this also bounds the work of a batch. */
static int rx_reload(struct vmbus_rx *rx)
{
	uint32_t write = ring_load_acquire(&rx->ctl->write_index); /* B: pairs with A */

	if (!index_valid(write, rx->size))
		return -EPROTO;
	if (index_distance(rx->read, write, rx->size) > rx->size - PKT_UNIT - rx->taken)
		return -EPROTO;
	rx->peer_write = write;
	return 0;
}

/* Unread bytes; loads the write index only when the known bytes are used up. */
static int rx_available(struct vmbus_rx *rx, uint32_t *used)
{
	int err = 0;

	if (rx->peer_write == rx->read)
		err = rx_reload(rx);
	*used = rx_known(rx);
	return err;
}

/* Also rejects packets shorter than descriptor and trailer: len8 is at least 2. */
static bool desc_valid(const struct vmbus_pkt_desc *desc, uint32_t used)
{
	return desc->offset8 * PKT_UNIT >= sizeof(*desc) && desc->len8 >= desc->offset8 &&
	       desc->len8 * PKT_UNIT + VMBUS_PKT_TRAILER_SIZE <= used &&
	       !(desc->flags & ~VMBUS_PKT_FLAG_COMPLETION_REQUESTED);
}

int vmbus_rx_next(struct vmbus_rx *rx, struct vmbus_pkt *pkt, void *buf, uint32_t buf_size)
{
	struct vmbus_ring_place place;
	uint8_t *bytes = buf;
	uint32_t used, len, offset;
	int err = rx_available(rx, &used);

	if (err)
		return err;
	if (!used)
		return -EAGAIN;
	place = place_get(&rx->data, rx->place, &pkt->desc, sizeof(pkt->desc));
	ring_compiler_barrier(); /* only the copy of the descriptor from here on */
	if (!desc_valid(&pkt->desc, used))
		return -EPROTO;
	len = pkt->desc.len8 * PKT_UNIT;
	offset = pkt->desc.offset8 * PKT_UNIT;
	if (len > buf_size)
		return -EMSGSIZE;
	memcpy(bytes, &pkt->desc, sizeof(pkt->desc));
	place = place_get(
		&rx->data, place, bytes + sizeof(pkt->desc), len - (uint32_t)sizeof(pkt->desc));
	ring_compiler_barrier(); /* and of the packet, in the caller */
	pkt->extra = bytes + sizeof(pkt->desc);
	pkt->extra_len = offset - (uint32_t)sizeof(pkt->desc);
	pkt->payload = bytes + offset;
	pkt->payload_len = len - offset;
	rx->place = place_skip(&rx->data, place, VMBUS_PKT_TRAILER_SIZE);
	rx->read = index_add(rx->read, len + VMBUS_PKT_TRAILER_SIZE, rx->size);
	rx->taken += len + VMBUS_PKT_TRAILER_SIZE;
	return 0;
}

void vmbus_rx_untake(struct vmbus_rx *rx, const struct vmbus_pkt *pkt)
{
	uint32_t bytes = pkt->desc.len8 * PKT_UNIT + VMBUS_PKT_TRAILER_SIZE;

	rx->place = place_back(&rx->data, rx->place, bytes);
	rx->read = index_add(rx->read, rx->size - bytes, rx->size);
	rx->taken -= bytes;
}

/* The crossing rule: only the commit that raises the free bytes from at most `wanted` to above it
 * signals, so that a peer that keeps pending_send_size set gets no signal for each commit. */
static bool rx_room_signal(const struct vmbus_rx *rx, uint32_t freed)
{
	uint32_t wanted, write, room;

	if (!(ring_load(&rx->ctl->feature_bits) & VMBUS_RING_FEAT_PENDING_SEND_SIZE))
		return false;
	ring_full_fence(); /* H: pairs with G */
	/* Some peers request ring size - 1; room comes in units. */
	wanted = ring_load_acquire(&rx->ctl->pending_send_size) & ~(PKT_UNIT - 1); /* M */
	if (!wanted)
		return false;
	write = ring_load(&rx->ctl->write_index);
	if (!index_valid(write, rx->size))
		return false; /* vmbus_rx_next() will return the error */
	room = rx->size - index_distance(rx->read, write, rx->size);
	/* wanted < room < 2^31, so the sum does not overflow; room - freed might. */
	return room > wanted && room <= wanted + freed;
}

bool vmbus_rx_commit(struct vmbus_rx *rx)
{
	uint32_t freed = rx->taken;

	if (!freed)
		return false;
	rx->taken = 0;
	ring_store_release(&rx->ctl->read_index, rx->read); /* F: pairs with E */
	return rx_room_signal(rx, freed);
}

void vmbus_rx_mask(struct vmbus_rx *rx)
{
	ring_store(&rx->ctl->interrupt_mask, 1);
	ring_full_fence(); /* early, to save needless signals; nothing depends on it */
}

bool vmbus_rx_unmask(struct vmbus_rx *rx)
{
	ring_store_release(&rx->ctl->interrupt_mask, 0); /* K: pairs with J */
	ring_full_fence();                               /* D: pairs with C */
	return vmbus_rx_pending(rx);
}

bool vmbus_rx_pending(const struct vmbus_rx *rx)
{
	if (rx->peer_write != rx->read)
		return true;
	return ring_load_acquire(&rx->ctl->write_index) != rx->read; /* B: pairs with A */
}

int64_t vmbus_rx_used(const struct vmbus_rx *rx)
{
	uint32_t write = ring_load_acquire(&rx->ctl->write_index); /* B: pairs with A */

	if (!index_valid(write, rx->size))
		return -EPROTO;
	return index_distance(rx->read, write, rx->size);
}

/* ---- statistics ---------------------------------------------------------- */

uint32_t vmbus_ring_fill(const struct vmbus_ring_ctl RING_SHARED *ctl, uint32_t size)
{
	uint32_t read = ring_load(&ctl->read_index);
	uint32_t write = ring_load(&ctl->write_index);

	if (!index_valid(read, size) || !index_valid(write, size))
		return 0;
	return index_distance(read, write, size);
}
