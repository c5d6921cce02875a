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

#define PKT_UNIT    8u
#define PKT_LEN_MAX (0xFFFFu * PKT_UNIT)

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

static int ring_check(const void RING_SHARED *ring, uint32_t bytes)
{
	if (!ring || bytes % HV_PAGE_SIZE || bytes < 2 * HV_PAGE_SIZE)
		return -EINVAL;
	return bytes - HV_PAGE_SIZE <= VMBUS_RING_SIZE_MAX ? 0 : -EINVAL;
}

/* ---- producer ------------------------------------------------------------ */

int vmbus_tx_init(struct vmbus_tx *tx, void RING_SHARED *ring, uint32_t bytes)
{
	struct vmbus_ring_ctl RING_SHARED *ctl = ring;
	uint32_t size = bytes - HV_PAGE_SIZE;
	uint32_t read, write;
	int err = ring_check(ring, bytes);

	if (err)
		return err;
	write = ring_load(&ctl->write_index);
	read = ring_load_acquire(&ctl->read_index); /* E */
	if (!index_valid(write, size) || !index_valid(read, size))
		return -EPROTO;
	*tx = (struct vmbus_tx){
		.ctl = ctl,
		.data = (uint8_t RING_SHARED *)ring + HV_PAGE_SIZE,
		.size = size,
		.write = write,
		.published = write,
		.peer_read = read,
	};
	ring_store(&ctl->pending_send_size, 0);
	ring_store(&ctl->feature_bits, VMBUS_RING_FEAT_PENDING_SEND_SIZE);
	return 0;
}

/* Copies in, wrapping at most once. Returns the index after it. */
static uint32_t tx_put(struct vmbus_tx *tx, uint32_t at, const void *src, uint32_t len)
{
	uint32_t first = tx->size - at;

	if (len < first) {
		ring_copy_in(tx->data + at, src, len);
		return at + len;
	}
	ring_copy_in(tx->data + at, src, first);
	ring_copy_in(tx->data, (const uint8_t *)src + first, len - first);
	return len - first;
}

static uint32_t tx_put_vec(struct vmbus_tx *tx, uint32_t at, const struct vmbus_vec *vec)
{
	return vec->len ? tx_put(tx, at, vec->base, vec->len) : at;
}

/* Zeroes the padding up to the next unit: the peer reads it. */
static uint32_t tx_pad(struct vmbus_tx *tx, uint32_t at)
{
	static const uint8_t zero[PKT_UNIT];
	uint32_t odd = at % PKT_UNIT;

	return odd ? tx_put(tx, at, zero, PKT_UNIT - odd) : at;
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
	uint32_t at = tx_put(tx, tx->write, desc, sizeof(*desc));
	uint32_t i;

	if (extra)
		at = tx_pad(tx, tx_put_vec(tx, at, extra));
	for (i = 0; i < payload_count; i++)
		at = tx_put_vec(tx, at, &payload[i]);
	at = tx_pad(tx, at);
	tx->write = tx_put(tx, at, trailer, sizeof(trailer));
}

int vmbus_tx_write(struct vmbus_tx *tx, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count)
{
	uint64_t offset = sizeof(struct vmbus_pkt_desc) + vec_bytes(extra, extra ? 1 : 0);
	uint64_t len = offset + vec_bytes(payload, payload_count);
	struct vmbus_pkt_desc desc;
	int err;

	if (len > PKT_LEN_MAX || len + VMBUS_PKT_TRAILER_SIZE > tx->size - PKT_UNIT)
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

int vmbus_rx_init(struct vmbus_rx *rx, void RING_SHARED *ring, uint32_t bytes)
{
	struct vmbus_ring_ctl RING_SHARED *ctl = ring;
	uint32_t size = bytes - HV_PAGE_SIZE;
	uint32_t read, write;
	int err = ring_check(ring, bytes);

	if (err)
		return err;
	read = ring_load(&ctl->read_index);
	write = ring_load_acquire(&ctl->write_index); /* B */
	if (!index_valid(read, size) || !index_valid(write, size))
		return -EPROTO;
	*rx = (struct vmbus_rx){
		.ctl = ctl,
		.data = (const uint8_t RING_SHARED *)ring + HV_PAGE_SIZE,
		.size = size,
		.read = read,
		.peer_write = write,
	};
	return 0;
}

/* Copies out, wrapping at most once. Returns the index after it. */
static uint32_t rx_get(const struct vmbus_rx *rx, uint32_t at, void *dst, uint32_t len)
{
	uint32_t first = rx->size - at;

	if (len < first) {
		ring_copy_out(dst, rx->data + at, len);
		return at + len;
	}
	ring_copy_out(dst, rx->data + at, first);
	ring_copy_out((uint8_t *)dst + first, rx->data, len - first);
	return len - first;
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
	uint8_t *bytes = buf;
	uint32_t used, at, len, offset;
	int err = rx_available(rx, &used);

	if (err)
		return err;
	if (!used)
		return -EAGAIN;
	at = rx_get(rx, rx->read, &pkt->desc, sizeof(pkt->desc));
	ring_compiler_barrier(); /* only the copy of the descriptor from here on */
	if (!desc_valid(&pkt->desc, used))
		return -EPROTO;
	len = pkt->desc.len8 * PKT_UNIT;
	offset = pkt->desc.offset8 * PKT_UNIT;
	if (len > buf_size)
		return -EMSGSIZE;
	memcpy(bytes, &pkt->desc, sizeof(pkt->desc));
	rx_get(rx, at, bytes + sizeof(pkt->desc), len - (uint32_t)sizeof(pkt->desc));
	ring_compiler_barrier(); /* and of the packet, in the caller */
	pkt->extra = bytes + sizeof(pkt->desc);
	pkt->extra_len = offset - (uint32_t)sizeof(pkt->desc);
	pkt->payload = bytes + offset;
	pkt->payload_len = len - offset;
	rx->read = index_add(rx->read, len + VMBUS_PKT_TRAILER_SIZE, rx->size);
	rx->taken += len + VMBUS_PKT_TRAILER_SIZE;
	return 0;
}

void vmbus_rx_untake(struct vmbus_rx *rx, const struct vmbus_pkt *pkt)
{
	uint32_t bytes = pkt->desc.len8 * PKT_UNIT + VMBUS_PKT_TRAILER_SIZE;

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
