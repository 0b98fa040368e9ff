"""All science settings of a run, one field per stage; defaults are the paper's numbers."""

from pydantic import BaseModel, ConfigDict, model_validator

from chillguard.cleaning.survivors import CleaningConfig
from chillguard.crawl import CrawlConfig
from chillguard.keywords import KeywordsConfig
from chillguard.labeling.jury import LabelingConfig
from chillguard.labeling.review import ReviewConfig
from chillguard.release.audit import AuditConfig
from chillguard.release.integrity import Bounds
from chillguard.release.split import SplitConfig
from chillguard.rewriting.rewrites import RewritingConfig
from chillguard.rows.guards import GuardConfig
from chillguard.synthesis.rag import SynthesisConfig
from chillguard.training.generation import GenerationConfig
from chillguard.training.inputs import Plan
from chillguard.training.pairs import PairsConfig
from chillguard.training.spec import MdpoConfig, SftConfig
from chillguard.translation import TranslationConfig


class TrainingConfig(BaseModel):
    """Co-training (paper section 4.3): generation, pairs, how both models are trained.

    `plan` is `single`, or `curriculum`: real rows in a second stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generation: GenerationConfig = GenerationConfig()
    pairs: PairsConfig = PairsConfig()
    plan: Plan = "single"
    sft: SftConfig = SftConfig()
    mdpo: MdpoConfig = MdpoConfig()


class Settings(BaseModel):
    """Science settings by stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keywords: KeywordsConfig = KeywordsConfig()
    crawl: CrawlConfig = CrawlConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    rewriting: RewritingConfig = RewritingConfig()
    guards: GuardConfig = GuardConfig()
    translation: TranslationConfig = TranslationConfig()
    cleaning: CleaningConfig = CleaningConfig()
    labeling: LabelingConfig = LabelingConfig()
    review: ReviewConfig = ReviewConfig()
    split: SplitConfig = SplitConfig()
    audit: AuditConfig = AuditConfig()
    bounds: Bounds = Bounds()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> "Settings":
        for name, least, most in (
            ("crawl.{}_chars", self.crawl.min_chars, self.crawl.max_chars),
            ("guards.{}_chars", self.guards.min_chars, self.guards.max_chars),
            ("cleaning.{}_chars", self.cleaning.min_chars, self.cleaning.max_chars),
            ("bounds.{}_safe_share", self.bounds.min_safe_share, self.bounds.max_safe_share),
        ):
            if least is not None and most is not None and least > most:
                low, high = name.format("min"), name.format("max")
                raise ValueError(f"{low} {least} is above {high} {most}: nothing lies between them")
        return self

    @model_validator(mode="after")
    def _caps_leave_room(self) -> "Settings":
        cap = self.split.max_per_category
        for name, least in (
            ("synthesis.steer_below", self.synthesis.steer_below),
            ("bounds.min_per_category", self.bounds.min_per_category),
        ):
            if cap is not None and least is not None and least > cap:
                raise ValueError(
                    f"{name} {least} can never be reached: split.max_per_category is {cap}"
                )
        return self
