"""What the variable-length kernel is asked, against plain attention; and, on a GPU, what it answers.

Without a GPU a stand-in takes the kernel's place, with the signature of each of PyTorch's versions: it does in plain
PyTorch what its arguments say and nothing else. With one, the kernel itself is compared with float64 on the CPU.
"""

import inspect
from functools import wraps

import pytest
import torch
from torch import Tensor

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.attention import packed as dispatch
from ensemble_uq_llm.models.attention import varlen
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.pack import Pack, make_pack
from tiny_models import (
    ALL_TARGETS,
    FAMILIES,
    assert_close,
    random_sequences,
    randomise,
    spec,
    tiny_config,
    tiny_decoder,
    tiny_ensemble,
)

CPU = torch.device("cpu")
HEADS, HEAD_DIM = 4, 16
ROOT_SCALING = HEAD_DIM**-0.5
PACKS = {"mixed": (9, 1, 40, 6, 1), "of-ones": (1, 1, 1), "alone": (33,), "one-token": (1,)}
WINDOWS = (None, 1, 6, 39, 40, 1000)


def stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, window_size, scale=None):
    """Compute what FlashAttention documents: queries are aligned with the last keys, windows reach to both sides."""
    for offsets, rows, longest in ((cu_seq_q, query, max_q), (cu_seq_k, key, max_k)):
        lengths = offsets.diff()
        assert (offsets.dtype, offsets.device) == (torch.int32, rows.device)
        assert (offsets[0], offsets[-1], lengths.max()) == (0, len(rows), longest)
        assert isinstance(longest, int), "a tensor here would make the CPU wait for the GPU"
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1
    key, value = (each.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for each in (key, value))
    (left, right), outputs = window_size, []
    pieces = zip(
        query.split(cu_seq_q.diff().tolist()), *(each.split(cu_seq_k.diff().tolist()) for each in (key, value)),
        strict=True,
    )  # fmt: skip
    for q_QHD, k_KHD, v_KHD in pieces:
        queries, keys = len(q_QHD), len(k_KHD)
        ahead_QK = torch.arange(keys) - (torch.arange(queries) + keys - queries)[:, None]
        hidden_QK = ((ahead_QK > right) & (right >= 0)) | ((-ahead_QK > left) & (left >= 0))
        scores_HQK = torch.einsum("qhd,khd->hqk", q_QHD, k_KHD) * (query.shape[-1] ** -0.5 if scale is None else scale)
        weights_HQK = scores_HQK.masked_fill(hidden_QK, float("-inf")).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights_HQK, v_KHD))
    return torch.cat(outputs)


def of_torch_2_10(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None
):  # fmt: skip
    assert query.shape[1] == key.shape[1] == value.shape[1]
    window_size = (-1, 0) if is_causal else (-1, -1)
    return stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, window_size=window_size)


def of_torch_2_11(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1)
):  # fmt: skip
    assert query.shape[1] == key.shape[1] == value.shape[1]
    return stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)


def of_torch_2_12(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1),
    enable_gqa=False, seqused_k=None, block_table=None, num_splits=None,
):  # fmt: skip
    assert enable_gqa or query.shape[1] == key.shape[1] == value.shape[1]
    return stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)


KERNELS = {"2.10": of_torch_2_10, "2.11": of_torch_2_11, "2.12": of_torch_2_12}


def counted(kernel, calls: list):
    """Return the kernel, with its own signature, that also notes the keywords it is called with."""

    @wraps(kernel)
    def counting(*arguments, **keywords):
        calls.append({"key_heads": arguments[1].shape[1], **keywords})
        return kernel(*arguments, **keywords)

    return counting


@pytest.fixture
def put(monkeypatch):
    """Put a stand-in of one of PyTorch's versions in the kernel's place; the list of calls comes back."""

    def put(version: str, *dtypes: torch.dtype) -> list:
        calls: list = []
        monkeypatch.setattr(varlen, "varlen_attn", counted(KERNELS[version], calls))
        monkeypatch.setattr(varlen, "has_kernel", lambda device: True)
        monkeypatch.setattr(varlen, "DTYPES", dtypes or varlen.DTYPES)
        return calls

    return put


def pack_of(lengths: tuple[int, ...], device: torch.device = CPU) -> Pack:
    drawn = [random_sequences(1, seed=i, lowest=n, highest=n)[0] for i, n in enumerate(lengths)]
    return make_pack([(0, drawn)], device=device)


def drawn(pack: Pack, *, key_heads: int, dtype: torch.dtype = torch.float64, head_dim: int = HEAD_DIM) -> list[Tensor]:
    """Return queries, keys and values as rows of heads [T, heads, D]."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(len(pack.tokens_T), heads, head_dim) for heads in (HEADS, key_heads, key_heads)]
    made = [torch.randn(shape, generator=generator).to(pack.tokens_T.device, dtype) for shape in shapes]
    return [each.requires_grad_() for each in made]


def packed(qkv: list[Tensor], pack: Pack, *, scaling: float, window: int | None, of_last: bool) -> Tensor:
    query, key, value = qkv
    if of_last:
        query = query.index_select(0, pack.last_B)
        return dispatch.last_token_attention(query, key, value, pack=pack, scaling=scaling, window=window)
    return dispatch.packed_attention(query, key, value, pack=pack, scaling=scaling, window=window)


def plain(qkv: list[Tensor], pack: Pack, *, scaling: float, window: int | None, of_last: bool) -> Tensor:
    """Attention as the papers write it, sequence by sequence and query by query. Returns [T or B, H, D]."""
    query, *key_value = qkv
    key, value = (each.repeat_interleave(HEADS // each.shape[1], dim=1) for each in key_value)
    rows = []
    for q_LHD, k_LHD, v_LHD in zip(*(each.split(pack.lengths) for each in (query, key, value)), strict=True):
        length = len(q_LHD)
        for now in range(length - 1 if of_last else 0, length):
            seen = slice(0 if window is None else max(0, now - window + 1), now + 1)
            weights_HK = (torch.einsum("hd,khd->hk", q_LHD[now], k_LHD[seen]) * scaling).softmax(-1)
            rows.append(torch.einsum("hk,khd->hd", weights_HK, v_LHD[seen]))
    return torch.stack(rows)


def with_gradients(form, qkv: list[Tensor], pack: Pack, **how) -> list[Tensor]:
    output = form(qkv, pack, **how)
    sent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.device, output.dtype)
    return [each.detach() for each in (output, *torch.autograd.grad(output, qkv, sent))]


def assert_equal_with_gradients(qkv: list[Tensor], pack: Pack, **how) -> None:
    expected = with_gradients(plain, qkv, pack, **how)
    for actual, exact in zip(with_gradients(packed, qkv, pack, **how), expected, strict=True):
        assert actual.shape == exact.shape
        assert (actual - exact).abs().max() <= 1e-12 * max(1, exact.abs().max())


@pytest.mark.parametrize("of_last", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("version", ["2.11", "2.12"])
@pytest.mark.parametrize("lengths", PACKS.values(), ids=PACKS)
def test_what_the_kernel_is_asked_is_plain_attention(put, lengths, version, key_heads, window, of_last):
    calls = put(version, torch.float64)
    pack = pack_of(lengths)
    qkv = drawn(pack, key_heads=key_heads)
    assert_equal_with_gradients(qkv, pack, scaling=0.4, window=window, of_last=of_last)
    assert [call["key_heads"] for call in calls] == [key_heads if version == "2.12" else HEADS]
    assert [call.get("enable_gqa") for call in calls] == [key_heads != HEADS if version == "2.12" else None]


@pytest.mark.parametrize("of_last", [False, True])
@pytest.mark.parametrize("window", [None, 40, 1000])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_the_oldest_kernel_is_asked_for_the_usual_form_only(put, key_heads, window, of_last):
    calls = put("2.10", torch.float64)
    pack = pack_of(PACKS["mixed"])
    qkv = drawn(pack, key_heads=key_heads)
    assert_equal_with_gradients(qkv, pack, scaling=ROOT_SCALING, window=window, of_last=of_last)
    assert calls == [{"key_heads": HEADS, "is_causal": True}]


@pytest.mark.parametrize("of_last", [False, True])
@pytest.mark.parametrize(("scaling", "window"), [(ROOT_SCALING, 6), (0.4, None)])
def test_what_the_oldest_kernel_cannot_say_goes_sequence_by_sequence(put, scaling, window, of_last):
    calls = put("2.10", torch.float64)
    pack = pack_of(PACKS["mixed"])
    assert_equal_with_gradients(drawn(pack, key_heads=2), pack, scaling=scaling, window=window, of_last=of_last)
    assert calls == []
    rows = drawn(pack, key_heads=2)
    with pytest.raises(AssertionError, match="ask kernel_attends first"):
        varlen.varlen_attention(*rows, pack=pack, scaling=scaling, window=window)


@pytest.mark.parametrize(
    ("version", "window", "expected"),
    [
        ("2.10", None, {"is_causal": True}),
        ("2.11", None, {"window_size": (-1, 0), "scale": ROOT_SCALING}),
        ("2.11", 6, {"window_size": (5, 0), "scale": ROOT_SCALING}),
        ("2.11", 1, {"window_size": (0, 0), "scale": ROOT_SCALING}),
        ("2.12", None, {"window_size": (-1, 0), "scale": ROOT_SCALING, "enable_gqa": True}),
        ("2.12", 6, {"window_size": (5, 0), "scale": ROOT_SCALING, "enable_gqa": True}),
        ("2.12", 40, {"window_size": (-1, 0), "scale": ROOT_SCALING, "enable_gqa": True}),
    ],
)
def test_the_keywords_of_every_version(put, version, window, expected):
    calls = put(version, torch.float64)
    pack = pack_of(PACKS["mixed"])
    for of_last in (False, True):
        packed(drawn(pack, key_heads=2), pack, scaling=ROOT_SCALING, window=window, of_last=of_last)
    assert calls == [expected | {"key_heads": 2 if version == "2.12" else HEADS}] * 2


def test_the_installed_kernel_has_a_signature_that_was_tried():
    release = ".".join(torch.__version__.split(".")[:2])
    model = KERNELS.get(release, of_torch_2_12)  # what came after 2.12 added keywords
    assert set(inspect.signature(model).parameters) <= set(inspect.signature(varlen.varlen_attn).parameters)


@pytest.mark.parametrize(
    ("version", "change", "expected"),
    [
        ("2.11", {}, True),
        ("2.11", {"dtype": torch.float16}, True),
        ("2.11", {"dtype": torch.float32}, False),
        ("2.11", {"dtype": torch.float64}, False),
        ("2.11", {"head_dim": 8}, True),
        ("2.11", {"head_dim": 12}, False),
        ("2.11", {"head_dim": 256}, True),
        ("2.11", {"head_dim": 264}, False),
        ("2.11", {"softcap": 30.0}, False),
        ("2.11", {"window": 6}, True),
        ("2.11", {"scaling": 0.4}, True),
        ("2.10", {}, True),
        ("2.10", {"window": 6}, False),
        ("2.10", {"window": 40}, True),
        ("2.10", {"scaling": 0.4}, False),
    ],
)
def test_when_the_kernel_is_used(put, monkeypatch, version, change, expected):
    put(version)
    how = {"dtype": torch.bfloat16, "head_dim": HEAD_DIM, "scaling": ROOT_SCALING, "window": None} | change
    query = torch.zeros(57, HEADS, how.pop("head_dim"), dtype=how.pop("dtype"))
    pack = pack_of(PACKS["mixed"])
    assert varlen.kernel_attends(query, pack=pack, **how) is expected
    monkeypatch.setattr(varlen, "has_kernel", lambda device: False)
    assert not varlen.kernel_attends(query, pack=pack, **how)


def test_a_kernel_with_unknown_keywords_is_not_used(put, monkeypatch):
    put("2.11")
    monkeypatch.setattr(varlen, "varlen_attn", lambda query, key, value, cu_seq_q, cu_seq_k, max_q, max_k: query)
    query = torch.zeros(57, HEADS, HEAD_DIM, dtype=torch.bfloat16)
    assert not varlen.kernel_attends(query, pack=pack_of(PACKS["mixed"]), scaling=ROOT_SCALING, window=None)


@pytest.mark.parametrize(
    ("device", "hip", "built", "capability", "expected"),
    [
        ("cuda:0", None, True, (8, 0), True),
        ("cuda:1", None, True, (9, 0), True),
        ("cuda:0", None, True, (7, 5), False),
        ("cuda:0", None, False, (9, 0), False),
        ("cuda:0", "7.0", True, (9, 4), False),
        ("cpu", None, True, (9, 0), False),
    ],
)
def test_which_devices_have_the_kernel(monkeypatch, device, hip, built, capability, expected):
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: built)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert varlen.has_kernel(torch.device(device)) is expected


def test_a_softcap_goes_sequence_by_sequence(put):
    calls = put("2.12", torch.float64)
    pack = pack_of(PACKS["mixed"])
    qkv = drawn(pack, key_heads=2)
    capped = dispatch.packed_attention(*qkv, pack=pack, scaling=0.4, softcap=1e6)
    assert calls == []
    # So wide a cap caps nothing. Its softmax runs in float32, as transformers' own.
    assert_close(capped, plain(qkv, pack, scaling=0.4, window=None, of_last=False), relative=1e-6)


def logits_and_gradients(ensemble: StackedEnsemble, device: torch.device) -> list[Tensor]:
    sequences = [*random_sequences(3, seed=5, highest=20), *random_sequences(1, seed=6, highest=1)]
    logits = ensemble(make_pack([(member, sequences) for member in range(len(ensemble.members))], device=device))
    return [each.detach().cpu() for each in (logits, *torch.autograd.grad(logits.square().sum(), ensemble.trainable()))]


@pytest.mark.parametrize("version", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_ensemble_is_the_same_through_the_kernel(put, family, version):
    ensemble = tiny_ensemble(family, targets=ALL_TARGETS)
    expected = logits_and_gradients(ensemble, CPU)
    calls = put(version, torch.float32)
    actual = logits_and_gradients(ensemble, CPU)
    capped = family == "gemma2"
    assert capped or version == "2.10" or len(calls) == ensemble.decoder.config.num_hidden_layers
    assert not (capped and calls)
    for mine, plain_form in zip(actual, expected, strict=True):
        assert_close(mine, plain_form, relative=1e-4)


@pytest.fixture
def gpu() -> torch.device:
    """A GPU that has the kernel; the test is skipped without one."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    device = torch.device("cuda", 0)
    if not varlen.has_kernel(device):
        pytest.skip("needs a GPU that has flash attention")
    return device


def off(actual: list[Tensor], exact: list[Tensor]) -> Tensor:
    """Return the distance of every tensor from the exact one."""
    return torch.stack([(mine.cpu().double() - true).norm() for mine, true in zip(actual, exact, strict=True)])


@pytest.mark.cuda
@pytest.mark.parametrize("of_last", [False, True])
@pytest.mark.parametrize("window", [None, 1, 6, 200])
@pytest.mark.parametrize(("key_heads", "head_dim"), [(4, 64), (2, 64), (1, 128), (2, 8), (4, 256)])
@pytest.mark.parametrize("lengths", [(129, 1, 300, 64, 1, 7), (1, 1, 1), (300,), (1,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_on_a_gpu_no_further_from_float64_than_one_sdpa_a_sequence(
    gpu, monkeypatch, dtype, lengths, key_heads, head_dim, window, of_last
):
    calls: list = []
    monkeypatch.setattr(varlen, "varlen_attn", counted(varlen.varlen_attn, calls))
    pack = pack_of(lengths, gpu)
    qkv = drawn(pack, key_heads=key_heads, dtype=dtype, head_dim=head_dim)
    how = {"scaling": head_dim**-0.5, "window": window, "of_last": of_last}
    exact_qkv = [each.detach().cpu().double().requires_grad_() for each in qkv]
    exact = with_gradients(plain, exact_qkv, pack_of(lengths), **how)
    actual = with_gradients(packed, qkv, pack, **how)
    assert len(calls) == 1 or "window_size" not in inspect.signature(varlen.varlen_attn).parameters
    monkeypatch.setattr(dispatch, "kernel_attends", lambda query, **_: False)
    peer = with_gradients(packed, qkv, pack, **how)
    # Where the peer is exact by chance, as with sequences of one token, a rounding of what is summed is allowed.
    allowed = 2 * off(peer, exact) + 1e-4 * exact[0].norm()
    assert (off(actual, exact) <= allowed).all(), f"{off(actual, exact)}, and allowed is {allowed}"


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("of_last", [False, True])
def test_on_a_gpu_nothing_waits_for_the_device(gpu, of_last):
    pack = pack_of((129, 1, 300, 64), gpu)
    qkv = drawn(pack, key_heads=2, dtype=torch.bfloat16)
    output = packed(qkv, pack, scaling=ROOT_SCALING, window=None, of_last=of_last)  # whatever is loaded once, is now
    sent = torch.ones_like(output)
    torch.autograd.grad(output, qkv, sent)
    torch.cuda.set_sync_debug_mode("error")
    try:
        output = packed(qkv, pack, scaling=ROOT_SCALING, window=None, of_last=of_last)
        torch.autograd.grad(output, qkv, sent)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def ensemble_on(device: torch.device, family: str, *, rounded: bool, dtype: torch.dtype) -> StackedEnsemble:
    """Return the ensemble in `dtype`, over a base whose weights are bfloat16's where `rounded`."""
    decoder = tiny_decoder(tiny_config(family), dtype=torch.bfloat16 if rounded else torch.float32)
    decoder = decoder.to(device, dtype)
    return randomise(
        StackedEnsemble(decoder, spec=spec(decoder=decoder, targets=ALL_TARGETS), members=trained((42, 43)))
    )


@pytest.mark.cuda
@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_gpu_a_whole_ensemble_equals_the_cpu(gpu, monkeypatch, family):
    calls: list = []
    monkeypatch.setattr(varlen, "varlen_attn", counted(varlen.varlen_attn, calls))
    on_cpu = logits_and_gradients(ensemble_on(CPU, family, rounded=False, dtype=torch.float32), CPU)
    on_gpu = logits_and_gradients(ensemble_on(gpu, family, rounded=False, dtype=torch.float32), gpu)
    for actual, expected in zip(on_gpu, on_cpu, strict=True):
        assert_close(actual, expected, relative=1e-3)
    assert calls == [], "float32 has no kernel"
    exact, cpu_bf16, gpu_bf16 = (
        logits_and_gradients(ensemble_on(device, family, rounded=True, dtype=dtype), device)
        for device, dtype in ((CPU, torch.float32), (CPU, torch.bfloat16), (gpu, torch.bfloat16))
    )
    assert bool(calls) == (family != "gemma2"), "a softcap has no kernel"
    sizes = torch.stack([each.double().norm() for each in exact])
    assert sizes.min() > 0
    # The mean over all tensors: in one alone, chance can make either of the two the closer by far.
    mine, theirs = ((off(each, exact) / sizes).mean() for each in (gpu_bf16, cpu_bf16))
    assert mine <= 2 * theirs, f"{mine:.2e} off, and the CPU's bfloat16 {theirs:.2e}"
