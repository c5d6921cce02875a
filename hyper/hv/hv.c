/* SPDX-License-Identifier: MIT */
/* Creation, destruction and reset of the interface. */
#include "hyper/hv/hv.h"

#include <assert.h>
#include <string.h>

#include "hyper/hv/hv_impl.h"

static uint32_t offered_features(const struct hv_config *config)
{
	struct hv_cpuid_leaf leaves[HV_CPUID_LEAVES];

	hv_cpuid(config, leaves);
	return leaves[HV_CPUID_FEATURES - HV_CPUID_VENDOR].eax;
}

/* Deletion must not wait for ever behind a guest that posts without pause. */
static int connection_lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	int ret = pthread_rwlockattr_init(&attr);

	if (ret)
		return -ret;
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	ret = pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return -ret;
}

static int vp_init(struct hv_vp *vp, uint32_t index)
{
	int ret = pthread_mutex_init(&vp->lock, NULL);

	if (ret)
		return -ret;
	vp->index = index;
	synic_vp_init(vp);
	stimer_vp_init(vp);
	return 0;
}

static void vp_fini(struct hv *hv, struct hv_vp *vp)
{
	synic_vp_fini(hv, vp);
	pthread_mutex_destroy(&vp->lock);
}

int hv_init(struct hv *hv, const struct hv_config *config)
{
	uint32_t vps = 0;
	int ret;

	assert(config->vp_count >= 1 && config->vp_count <= HV_VPS_MAX);
	memset(hv, 0, sizeof(*hv));
	hv->config = *config;
	hv->features = offered_features(config);
	list_init(&hv->connections);
	ret = -pthread_mutex_init(&hv->lock, NULL);
	if (ret)
		return ret;
	ret = connection_lock_init(&hv->connection_lock);
	if (ret)
		goto destroy_lock;
	for (; vps < config->vp_count; vps++) {
		ret = vp_init(&hv->vp[vps], vps);
		if (ret)
			goto fini_vps;
	}
	reftime_init(hv);
	return 0;

fini_vps:
	while (vps > 0)
		vp_fini(hv, &hv->vp[--vps]);
	pthread_rwlock_destroy(&hv->connection_lock);
destroy_lock:
	pthread_mutex_destroy(&hv->lock);
	return ret;
}

void hv_fini(struct hv *hv)
{
	for (uint32_t i = hv->config.vp_count; i > 0; i--)
		vp_fini(hv, &hv->vp[i - 1]);
	pthread_rwlock_destroy(&hv->connection_lock);
	pthread_mutex_destroy(&hv->lock);
}
