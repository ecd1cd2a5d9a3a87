#!/bin/bash
# Trains the tiny Qwen2 on this machine's CPU. Takes the positional arguments of Pai-Megatron-Patch's script of the same
# name and place (alibaba/Pai-Megatron-Patch@a098ca5, examples/qwen2) and derives iterations and names as it does. One
# pod is one data-parallel replica; tensor and pipeline sizes decide how the checkpoint is cut.
set -e

fail() {
    echo "run_mcore_qwen.sh: $*" >&2
    exit 2
}

[ $# -eq 26 ] || fail "$# arguments; 26 are needed: ENV MODEL_SIZE BATCH_SIZE GLOBAL_BATCH_SIZE LR MIN_LR SEQ_LEN PAD_LEN PR TP PP CP EP SP DO FL SFT AC OPTIMIZER_OFFLOAD SAVE_INTERVAL DATASET_PATH VALID_DATASET_PATH PRETRAIN_CHECKPOINT_PATH TRAIN_TOKENS WARMUP_TOKENS OUTPUT_BASEPATH"

ENV=$1
MODEL_SIZE=$2
BATCH_SIZE=$3
GLOBAL_BATCH_SIZE=$4
LR=$5
MIN_LR=$6
SEQ_LEN=$7
PAD_LEN=$8
PR=$9
TP=${10}
PP=${11}
CP=${12}
EP=${13}
SP=${14}
DO=${15}
FL=${16}
SFT=${17}
AC=${18}
OPTIMIZER_OFFLOAD=${19}
SAVE_INTERVAL=${20}
DATASET_PATH=${21}
VALID_DATASET_PATH=${22}
PRETRAIN_CHECKPOINT_PATH=${23}
TRAIN_TOKENS=${24}
WARMUP_TOKENS=${25}
OUTPUT_BASEPATH=${26}

one_of() { # name value allowed...
    local name=$1 value=$2 allowed
    shift 2
    for allowed in "$@"; do [ "$value" = "$allowed" ] && return; done
    fail "$name is \"$value\"; here it must be one of: $*"
}

natural() { # name value least
    [[ $2 =~ ^[0-9]{1,15}$ ]] && [ "$2" -ge "$3" ] || fail "$1 is \"$2\"; it must be a whole number from $3"
}

one_of ENV "$ENV" dlc dsw
one_of PR "$PR" bf16
one_of CP "$CP" 1
one_of EP "$EP" 1
one_of SP "$SP" true false
one_of DO "$DO" true false
one_of FL "$FL" true false
one_of SFT "$SFT" false
one_of AC "$AC" sel full offload none
one_of OPTIMIZER_OFFLOAD "$OPTIMIZER_OFFLOAD" false static auto
natural BATCH_SIZE "$BATCH_SIZE" 1
natural GLOBAL_BATCH_SIZE "$GLOBAL_BATCH_SIZE" 1
natural SEQ_LEN "$SEQ_LEN" 1
natural PAD_LEN "$PAD_LEN" 0
natural TP "$TP" 1
natural PP "$PP" 1
natural SAVE_INTERVAL "$SAVE_INTERVAL" 1
natural TRAIN_TOKENS "$TRAIN_TOKENS" 1
natural WARMUP_TOKENS "$WARMUP_TOKENS" 0
one_of MP_DATASET_TYPE "${MP_DATASET_TYPE:-idxmap}" idxmap
[ -z "$MP_VP" ] || fail "MP_VP is \"$MP_VP\"; virtual pipeline stages are not known here"

if [ "$ENV" = dsw ]; then
    export MASTER_ADDR=localhost MASTER_PORT=0 WORLD_SIZE=1 RANK=0
else
    for name in MASTER_ADDR MASTER_PORT WORLD_SIZE RANK; do
        [ -n "${!name}" ] || fail "$name is not set; DLC sets it in every pod"
    done
fi

case $MODEL_SIZE in
tiny)
    model_options=(
        --num-layers 4
        --hidden-size 64
        --num-attention-heads 4
        --ffn-hidden-size 176
        --group-query-attention
        --num-query-groups 2
        --max-position-embeddings 2048
        --norm-epsilon 1e-6
        --untie-embeddings-and-output-weights
        --init-method-std 0.06 # the large models' 0.008 is too little for 64 columns: signals fade and learning starts late
    )
    ;;
*) fail "MODEL_SIZE is \"$MODEL_SIZE\"; this image trains \"tiny\" only, other sizes need GPUs" ;;
esac

# Integer divisions, the batch first: tokens that do not fill an iteration are not trained on.
TRAIN_ITERS=$((TRAIN_TOKENS / GLOBAL_BATCH_SIZE / SEQ_LEN))
LR_WARMUP_ITERS=$((WARMUP_TOKENS / GLOBAL_BATCH_SIZE / SEQ_LEN))
LR_DECAY_ITERS=$((TRAIN_TOKENS / GLOBAL_BATCH_SIZE / SEQ_LEN))
[ "$TRAIN_ITERS" -ge 1 ] || fail "TRAIN_TOKENS $TRAIN_TOKENS / GLOBAL_BATCH_SIZE $GLOBAL_BATCH_SIZE / SEQ_LEN $SEQ_LEN are 0 iterations"

NAME="pretrain-mcore-qwen2-${MODEL_SIZE}-lr-${LR}-minlr-${MIN_LR}-bs-${BATCH_SIZE}-gbs-${GLOBAL_BATCH_SIZE}-seqlen-${SEQ_LEN}"
NAME+="-pr-${PR}-tp-${TP}-pp-${PP}-cp-${CP}-ac-${AC}-do-${DO}-sp-${SP}-ti-${TRAIN_ITERS}-wi-${LR_WARMUP_ITERS}"
SAVED_PRETRAIN_CHECKPOINT_PATH="${OUTPUT_BASEPATH}/checkpoint/${NAME}"
mkdir -p "$SAVED_PRETRAIN_CHECKPOINT_PATH"

parallel_options=(--tensor-model-parallel-size "$TP" --pipeline-model-parallel-size "$PP")
if [ "$TP" -gt 1 ]; then parallel_options+=(--tp-comm-overlap); fi
if [ "$SP" = true ] && [ "$TP" -gt 1 ]; then parallel_options+=(--sequence-parallel); fi
if [ "$DO" = true ]; then parallel_options+=(--use-distributed-optimizer); fi
if [ "$AC" = sel ]; then parallel_options+=(--recompute-activations); fi

run_cmd=(
    torchrun
    --save "$SAVED_PRETRAIN_CHECKPOINT_PATH"
    --lr "$LR"
    --min-lr "$MIN_LR"
    --weight-decay 0.1
    --adam-beta1 0.9
    --adam-beta2 0.95
    --clip-grad 1.0
    --lr-decay-iters "$LR_DECAY_ITERS"
    --lr-warmup-iters "$LR_WARMUP_ITERS"
    --train-iters "$TRAIN_ITERS"
    --micro-batch-size "$BATCH_SIZE"
    --global-batch-size "$GLOBAL_BATCH_SIZE"
    --seq-length "$SEQ_LEN"
    --save-interval "$SAVE_INTERVAL"
    --no-load-optim
    --no-load-rng
    --no-save-optim
    --add-qkv-bias
    --rotary-base 1000000
    --seed 1234
    "--$PR"
    --data-path "$DATASET_PATH"
    --valid-data-path "$VALID_DATASET_PATH"
    --load "$PRETRAIN_CHECKPOINT_PATH"
    "${model_options[@]}"
    "${parallel_options[@]}"
)
echo "${run_cmd[@]}"
PATH="$(cd "$(dirname "$0")/../../../bin" && pwd):$PATH"
# As in Pai-Megatron-Patch's own, torchrun may be a function that the job's command has exported.
if declare -F torchrun >/dev/null; then "${run_cmd[@]}"; else exec "${run_cmd[@]}"; fi
