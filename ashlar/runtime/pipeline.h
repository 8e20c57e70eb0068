// Runs one rank's list of a pipeline schedule, instruction by instruction, on the stages it holds.
// It knows no method: the schedule says what runs when, the slots say where it is kept, the stages
// say what is sent. All of the rank's communication comes from the thread that calls.
//
// What a trainer does on each rank:
//   schedule = schedule::ready_to_run(schedule::generate(...));
//   stages = passes::split_stages(graph, schedule.stages.stages());  // recompute and fuse each
//   chunk c is the stage schedule.stages.at(rank, c).stage, planned with shares_arena;
//   ChunkExecutors executors(...);  Pipeline pipeline(..., executors.slots().instructions, ...);
//   each step: totals = pipeline.run(microbatches, state); pipeline.update(state);
// To look at a loss only: schedule::forwards(...) of the same stages, and pipeline.forward().
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/graph/stage.h"
#include "ashlar/mesh/slice.h"
#include "ashlar/runtime/kept_variables.h"
#include "ashlar/runtime/mailbox.h"
#include "ashlar/runtime/stage_runner.h"
#include "ashlar/schedule/schedule.h"
#include "ashlar/schedule/slots.h"
#include "ashlar/schedule/values.h"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::runtime {

struct PipelineChunk {
  const graph::Stage* stage = nullptr;
  StageRunner* runner = nullptr;
};

// One microbatch of this rank's data, which every rank of the pipeline gives alike. Inputs that a
// stage does not read are passed over.
struct PipelineMicrobatch {
  graph::Bindings bindings;
  uint64_t first_token = 0;  // see RunState
  int64_t tokens = 0;
  std::vector<std::pair<std::string, const void*>> inputs;  // name, data
};

// The same on all ranks of the pipeline, and for any placement of the stages.
struct PipelineTotals {
  double loss = 0;      // of all microbatches, added in their order
  double aux_loss = 0;  // of a mixture of experts: the same of their balance
  double squares = 0;   // of the gradients of all stages
  double grad_norm() const;
};

class Pipeline {
 public:
  // schedule: ready to run. pipe: its ranks, in their order. chunks: of this rank, as the schedule
  // numbers them. slots: of this rank's list; none for runners that need none (in double). max: the
  // largest microbatch. tensor: ranks that hold some values alike (Stage::alike): each sends its
  // share, and those that receive put the shares together (scatter/gather, Narayanan et al. 2021).
  // Throws for instructions that are not there yet.
  Pipeline(schedule::Schedule schedule, comm::Group pipe, std::vector<PipelineChunk> chunks,
           std::vector<schedule::InstructionSlots> slots, const graph::Bindings& max,
           comm::Communicator& comm, comm::Group tensor = {});
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Memory of the caller's that holds an input of every microbatch and of the update.
  void bind_input(const std::string& name, const void* data);

  // The step up to the update: all microbatches, gradients summed over copies and data ranks, the
  // norm. state: seed and step.
  PipelineTotals run(std::span<const PipelineMicrobatch> microbatches,
                     const graph::RunState& state);
  // The update by the gradients of the run before, of every chunk.
  void update(const graph::RunState& state);
  // Of forwards alone: the loss where the last stage is, 0 on other ranks. No rank waits for those
  // behind it, so that runs one after another fill the pipe.
  double forward(std::span<const PipelineMicrobatch> microbatches, const graph::RunState& state);

  // The whole step without waiting for the ranks behind (Qi et al. 2024, post-validation): each
  // rank updates by the norm of the ranks up to itself, which goes down the pipe, and keeps what
  // it overwrites. settle() learns the norm of all; where it clips otherwise it rolls back and
  // updates again, where it is not finite it leaves the weights as they were, to the bit. Call it
  // before the next step, or before anybody looks at the weights.
  void step_optimistically(std::span<const PipelineMicrobatch> microbatches,
                           const graph::RunState& state);
  PipelineTotals settle();
  // Between the two: runs the forwards with which the next step warms up, while the norm of all is
  // on its way. Where an update is taken back, settle() runs them again. All ranks call it, or
  // none; the microbatches stay until the next step, which is given them once more.
  void begin_next(std::span<const PipelineMicrobatch> microbatches, const graph::RunState& state);
  void forget_next();          // all ranks: no step follows
  int forwards_ahead() const;  // of this rank, that begin_next() runs
  // Takes the memory for what optimistic steps overwrite; the first one does it otherwise.
  void prepare_to_roll_back();
  int rollbacks() const { return rollbacks_; }          // so far
  int64_t kept_bytes() const { return kept_.bytes(); }  // of what optimistic steps overwrite

  const schedule::Schedule& schedule() const { return schedule_; }
  // Of received messages and of sent ones that are on their way.
  int64_t message_bytes() const { return inbox_->bytes() + outbox_.bytes(); }

 private:
  enum Last : uint8_t { kAfterForward, kAfterBackward, kAfterWeight };
  // The messages of one kind that reach a chunk.
  struct Inbox {
    MessageLayout layout;
    Last last = kAfterForward;  // Program that reads them
    int64_t offset = 0;         // of the first buffer
    int buffers = 0;
  };
  struct Chunk {
    PipelineChunk parts;
    schedule::Chunk at;
    std::map<std::string, int> inputs;  // by name: those not received
    Inbox inbox[2];                     // activations, gradients
    MessageLayout out[2];
    bool splits_backward = false, has_squares = false, reduced = false;
    std::vector<int> early_sums;  // that its reduce can start
  };
  struct Step {
    schedule::Instruction instruction;
    SlotPair slots;
    bool first = false;  // of its Program on its chunk
    bool last = false;   // that adds to the chunk's gradients
  };
  // A gradient of which the pipeline holds several copies.
  struct CopiedGradient {
    std::string name;
    std::vector<int> chunks;  // of this rank
    comm::Group group;
    graph::StageGradient gradient;
    bool early = false;  // the reduce of its chunk starts the sum
  };

  void set_up_chunks(const graph::Bindings& max);
  void set_up_steps(const std::vector<schedule::InstructionSlots>& slots);
  void set_up_inbox();
  void set_up_copies();
  void check_inputs(std::span<const PipelineMicrobatch> microbatches) const;

  void compute(const Step& step);
  void add_gradients(const Step& step, StageProgram program, const graph::RunState& state);
  void bind_shared_inputs(Chunk& chunk);
  void bind_received(Chunk& chunk, const schedule::Instruction& instruction, bool gradient);
  void hand_over(Chunk& chunk, const schedule::Instruction& instruction);
  // This rank's share of a message value, in elements.
  Slice share(const MessageLayout::Item& item, int64_t elements) const;
  void put_shares_together(const MessageLayout::Item& item, std::byte* data, int64_t elements);
  void send(const schedule::Instruction& instruction);
  void receive(const schedule::Instruction& instruction);
  void select_for_update(Chunk& chunk);
  void reduce(Chunk& chunk);
  comm::Buffer copy_of(const CopiedGradient& copied, int chunk);
  void start_sum(const CopiedGradient& copied);
  void finish_sums();
  void run_list(std::span<const PipelineMicrobatch> microbatches, const graph::RunState& state);
  void run_steps(size_t begin, size_t end);
  std::vector<size_t> warm_up_lengths() const;
  void run_warm_up();
  void drop_warm_up();
  void find_losses(const Chunk& chunk, int microbatch);
  double& squares_of(const Chunk& chunk);
  void find_squares();
  void start_totals();
  PipelineTotals finish_totals();
  double squares_up_to_here();
  double scale(double squares) const;
  void update_by(double squares);

  Chunk& chunk(int index) { return chunks_[static_cast<size_t>(index)]; }
  int rank() const { return pipe_.index; }

  schedule::Schedule schedule_;
  schedule::Values values_;
  comm::Group pipe_, tensor_;
  comm::Communicator& comm_;
  std::vector<Chunk> chunks_;
  std::vector<Step> steps_;
  std::vector<int> buffer_of_;             // of each schedule value that reaches this rank
  std::vector<ReceivedMessage> received_;  // by schedule value
  std::vector<Outbox::Letter*> letters_;   // by schedule value: written, not sent
  std::vector<CopiedGradient> copies_;
  std::vector<comm::Pending> sums_;  // under way
  std::optional<Arena> inbox_;
  Outbox outbox_;
  std::map<std::string, const void*> shared_inputs_;

  // Of the step that runs.
  std::span<const PipelineMicrobatch> microbatches_;
  graph::Bindings update_bindings_;
  graph::RunState state_;
  std::vector<double> totals_;  // losses, others, by microbatch; squares by stage
  comm::Pending adding_;        // totals of all ranks
  double squares_ = 0;

  // Of an optimistic step that is not settled yet.
  KeptVariables kept_;
  std::optional<double> assumed_;  // squares by which it updated
  bool unsettled_ = false;
  std::vector<double> exchanged_;  // totals, while ranks add them
  size_t warm_up_ = 0;             // instructions of this rank that begin_next() runs
  bool begun_ = false;             // the next step has run them
  struct Next {
    std::span<const PipelineMicrobatch> microbatches;
    graph::RunState state;
  } next_;
  std::vector<schedule::Instruction> unread_;  // receives of what other ranks' warm-ups send, later
  double passed_on_ = 0;                       // to the next rank
  comm::Pending passing_;
  int rollbacks_ = 0;
};

}  // namespace ashlar::runtime
