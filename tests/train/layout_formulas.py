"""What a layout holds and sends by the formulas of its methods (docs/parallelism.md), from the shapes of the
model's tensors alone: a layout that holds or sends more than its method says, as replicating all would, fails."""
import dataclasses

FLOAT = 4
TOKENS, WIDTH, LAYERS = 8 * 16, 32, 4  # of a step and of the models in trained.py
CHOICES = 2  # experts a token
QUERIES, KEYS = 32, {"llama": 16, "gpt2": 32, "mixtral": 16}
# Tensor ranks split these: heads, inner width, vocabulary; biases of such outputs too.
SPLIT = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head",
         ".experts.", "wte", "c_attn", "c_fc", "c_proj.weight")
# A rank's first and last stage: both ends of the model, or layers from both halves.
FOLDED = ("zb-v", "hanayo", "chimera")


@dataclasses.dataclass
class Parameter:
    name: str
    bytes: int

    @property
    def split(self):
        return any(part in self.name for part in SPLIT)

    @property
    def expert(self):
        return ".experts." in self.name

    @property
    def table(self):
        return any(part in self.name for part in ("embed_tokens", "wte", "wpe"))

    @property
    def layer(self):  # -1 at the ends
        words = self.name.split(".")
        return int(next((b for a, b in zip(words, words[1:]) if a in ("h", "layers")), -1))


class Layout:
    """A model on the axes that the words of a layout name, with what they switch."""

    def __init__(self, words, model, parameters):
        keys = dict(word.split("=", 1) for word in words if word[0] != "-")
        self.data, self.context, self.expert, self.tensor, self.pipe = (
            int(keys.get(f"mesh.{axis}", 1)) for axis in ("data", "context", "expert", "tensor", "pipe"))
        self.zero = int(keys.get("parallel.zero", 0))
        self.sequence = keys.get("parallel.sequence") == "true"
        self.ulysses = keys.get("parallel.context") == "ulysses"
        self.microbatches = 8 // (self.data * self.expert) // int(keys.get("train.microbatch", 1))
        self.recompute = keys.get("recompute", "none") != "none"
        self.schedule = keys.get("parallel.schedule", "1f1b")
        self.model, self.parameters = model, parameters

    def held_by_first_rank(self, shared_from):
        """Bytes of one float a parameter, which data ranks share out from that stage of ZeRO on."""
        total = 0
        for each in self.parameters:
            share = each.bytes * self._copies_on_first_rank(each) / (self.tensor if each.split else 1)
            alike = self.data * self.context * (1 if each.expert else self.expert)
            total += share / (self.expert if each.expert else 1) / (alike if self.zero >= shared_from else 1)
        return total

    def _copies_on_first_rank(self, parameter):
        if self.pipe == 1:
            return 1
        folded = self.schedule in FOLDED
        if parameter.layer >= 0:
            chunks = 1 if self.schedule in ("1f1b", "zb-h1", "zb-h2", "chimera") else 2
            stages = self.pipe * chunks
            own = {0, stages - 1} if folded else set(range(0, stages, self.pipe))
            return int(parameter.layer * stages // LAYERS in own)
        if "wte" in parameter.name:  # also the head
            return 2 if folded else 1
        return 1 if parameter.table or folded else 0

    def sent(self):
        """Bytes that all ranks together send in a step, by axis; what is not here is not foretold. What goes over
        several axes counts to the first."""
        result = {}
        if self.tensor > 1 and not self.recompute:
            result["tensor"] = self._between_tensor_ranks()
        if self.context > 1 and not self.recompute:
            result["context"] = self._around_attention()
        if self.pipe > 1:
            result["pipe"] = self._across_borders()
        if self.zero == 0:
            self._add_gradients(result)
        elif not self.recompute and (self.pipe == 1 or self.zero == 1):
            self._add_shards(result)
        return result

    def rows_to_experts(self):
        """EP3: what leaves where every choice of every token is elsewhere; forward and backward, there and back.
        Tensor ranks do so alike; a layer that is computed again sends again."""
        return self.tensor * (2 if self.recompute else 1) * 4 * LAYERS * TOKENS * CHOICES * WIDTH * FLOAT

    def _between_tensor_ranks(self):
        # TP1 and SP2: four sums of its rows a layer, two at the ends; TP2: three numbers a row.
        sums = (4 * LAYERS + 2) * WIDTH + 3
        if self.model == "mixtral":  # gradients of a row's weights are summed, or scattered where rows are split, and
            sums += LAYERS * CHOICES * (1.5 if self.sequence else 1)  # with rows their experts and weights gathered
        # HY1: shares of a border are gathered, there and back.
        gathered = 0 if self.sequence else 2 * self._borders() * WIDTH
        return (self.tensor - 1) * TOKENS * (2 * sums + gathered) * FLOAT

    def _around_attention(self):
        # SP3: keys and values go round forward and backward, their gradients once. SP5: all change sides and back.
        keys = 2 * KEYS[self.model]
        row = 2 * (keys + 2 * QUERIES) / self.context if self.ulysses else 3 * keys
        return (self.context - 1) * LAYERS * TOKENS * row * FLOAT

    def _borders(self):
        """Between stages of different ranks, each with all microbatches."""
        if self.pipe == 1:
            return 0
        return {"interleaved": 2 * self.pipe - 1, "zb-v": 2 * (self.pipe - 1),
                "hanayo": 2 * (self.pipe - 1)}.get(self.schedule, self.pipe - 1)

    def _tied(self, parameter):
        return self.pipe > 1 and "wte" in parameter.name

    def _across_borders(self):
        rows = 2 * self._borders() * TOKENS * WIDTH * FLOAT
        copied = sum(each.bytes for each in self.parameters
                     if self.schedule == "chimera" or (self._tied(each) and self.schedule not in FOLDED))
        whole = 1 if self.zero > 0 else self.data * self.context  # else ranks sum shares of it
        return rows + 2 * copied * whole

    def _add_gradients(self, result):
        # DP1: 2 (p-1) of each gradient; of an expert's over the ranks that have it.
        for each in self.parameters:
            axes = {"data": self.data, "context": self.context, "expert": 1 if each.expert else self.expert}
            # SP2: tensor ranks saw other rows, and sum with the others.
            rows = self.sequence and not each.split and not each.table
            copies = 1 if each.split or rows else self.tensor
            if self._tied(each) and self.schedule not in FOLDED:
                copies *= 2  # each stage's own
            axes["tensor"] = self.tensor if rows else 1
            ranks = 1
            for size in axes.values():
                ranks *= size
            if ranks > 1:
                first = next(axis for axis, size in axes.items() if size > 1)
                if first in result or first in ("data", "expert"):
                    result[first] = result.get(first, 0) + 2 * (ranks - 1) * copies * each.bytes

    def _add_shards(self, result):
        """DP3 to DP5: gradients are scattered, with ZeRO-2 and 3 in each microbatch; parameters gathered behind the
        update, with ZeRO-3 where forward and backward read them: tables, the head and biases in forward only."""
        for each in self.parameters:
            alike = 1 if each.split else self.tensor
            bias, norm = each.name.endswith(".bias"), "norm" in each.name or ".ln_" in each.name
            of_sum = bias and not each.split and not norm  # the first tensor rank adds it, and needs it
            in_forward_only = each.table or "lm_head" in each.name or bias
            scatters = self.microbatches if self.zero > 1 else 1
            gathers = self.microbatches * (1 if in_forward_only else 2) if self.zero == 3 else 1
            copies = 2 if self._tied(each) else 1
            bytes_of = copies * each.bytes * (alike * scatters + (1 if of_sum and self.zero == 3 else alike) * gathers)
            experts = 1 if each.expert else self.expert
            for axis, others in (("data", (self.data - 1) * self.context * experts),
                                 ("context", (self.context - 1) * experts), ("expert", experts - 1)):
                if others > 0:
                    result[axis] = result.get(axis, 0) + others * bytes_of
            if self.sequence and self.tensor > 1 and not each.split and not each.table:
                whole = self.data * self.context if self.zero == 1 else 1  # before or behind the scatter
                result["tensor"] += 2 * (self.tensor - 1) * whole * each.bytes
