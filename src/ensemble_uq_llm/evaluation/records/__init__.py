"""What a metrics JSON holds, as typed records: everything that is measured of one evaluated set.

The report, the tables and the comparisons read these attributes; `metrics_json.py` alone writes and reads the file.
None is "undefined" where a number is meant (an AUC without one of the classes), and "does not apply" where a block is
(no temperature without a calibration split). Entropies and divergences are in nats. What the blocks mean, and by which
formula each number is computed, is said in docs/metrics.md.
"""

from ensemble_uq_llm.evaluation.records.class_records import (
    BesideConstant,
    ByClass,
    Confusion,
    ConstantAnswers,
    OfClass,
)
from ensemble_uq_llm.evaluation.records.curves import (
    Histogram,
    HistogramGroup,
    HistogramKind,
    Reliability,
    ReliabilityBin,
    RiskCoverageCurve,
    RocCurve,
    ScatterGroup,
    UncertaintyScatter,
)
from ensemble_uq_llm.evaluation.records.decision_records import (
    BestScore,
    CalibrationSet,
    Conformal,
    ConformalSets,
    Detection,
    FittedTemperature,
    GroupCoverage,
    Guarantee,
    Promise,
    PromiseVerdict,
    Seen,
    SelectiveScore,
    Shift,
    TemperatureEffect,
    TemperatureScaling,
)
from ensemble_uq_llm.evaluation.records.estimates import Floor, Mean, MetricEstimate
from ensemble_uq_llm.evaluation.records.finding_records import Finding, FindingKind
from ensemble_uq_llm.evaluation.records.member_records import (
    ExamplesToRead,
    Gain,
    MemberMetrics,
    Pair,
    PairwiseNumber,
    SingleExample,
    SizeCurve,
    SubsetSummary,
    Vote,
)
from ensemble_uq_llm.evaluation.records.protocol_record import Protocol, ProtocolsBeside
from ensemble_uq_llm.evaluation.records.run_comparison import (
    AdjustedComparison,
    ComparedMetric,
    McNemar,
    RunComparison,
    Side,
)
from ensemble_uq_llm.evaluation.records.runs_beside import (
    BesideBaseline,
    Fitting,
    RunBeside,
    RunFacts,
    RunsBeside,
)
from ensemble_uq_llm.evaluation.records.set_metrics import (
    Options,
    Role,
    SetMetrics,
)

__all__ = [
    "AdjustedComparison",
    "BesideBaseline",
    "BesideConstant",
    "BestScore",
    "ByClass",
    "CalibrationSet",
    "ComparedMetric",
    "Conformal",
    "ConformalSets",
    "Confusion",
    "ConstantAnswers",
    "Detection",
    "ExamplesToRead",
    "Finding",
    "FindingKind",
    "FittedTemperature",
    "Fitting",
    "Floor",
    "Gain",
    "GroupCoverage",
    "Guarantee",
    "Histogram",
    "HistogramGroup",
    "HistogramKind",
    "McNemar",
    "Mean",
    "MemberMetrics",
    "MetricEstimate",
    "OfClass",
    "Options",
    "Pair",
    "PairwiseNumber",
    "Promise",
    "PromiseVerdict",
    "Protocol",
    "ProtocolsBeside",
    "Reliability",
    "ReliabilityBin",
    "RiskCoverageCurve",
    "RocCurve",
    "Role",
    "RunBeside",
    "RunComparison",
    "RunFacts",
    "RunsBeside",
    "ScatterGroup",
    "Seen",
    "SelectiveScore",
    "SetMetrics",
    "Shift",
    "Side",
    "SingleExample",
    "SizeCurve",
    "SubsetSummary",
    "TemperatureEffect",
    "TemperatureScaling",
    "UncertaintyScatter",
    "Vote",
]
