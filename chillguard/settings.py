"""All science settings of a run, one field per stage; defaults are the paper's numbers."""

from pydantic import BaseModel, ConfigDict

from chillguard.cleaning import CleaningConfig
from chillguard.crawl import CrawlConfig
from chillguard.guards import GuardConfig
from chillguard.integrity import Bounds
from chillguard.keywords import KeywordsConfig
from chillguard.labeling import LabelingConfig
from chillguard.review import ReviewConfig
from chillguard.rewriting import RewritingConfig
from chillguard.split import SplitConfig
from chillguard.synthesis import SynthesisConfig
from chillguard.translation import TranslationConfig


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
    bounds: Bounds = Bounds()
