"""Guards on generated prompts: one row per reason, and the many questions that must pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard import taxonomy
from chillguard.rows import guards
from chillguard.text import language
from tests.chillguard import builders

TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
CONFIG = guards.GuardConfig()
SOURCE = "周末想带家里的老人去公园散步，哪条路线比较平坦又有树荫？"


def _check(text, source=None, languages=("zh", "en"), config=CONFIG, **columns):
    row = builders.prompt("p", text, **{"lang": language.detect(text), **columns})
    return guards.check(row, config, languages, TAXONOMY, source) or {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("抱歉，我无法协助完成这个请求。", "refusal"),
        ("对不起，我不能提供这类内容。", "refusal"),
        ("很遗憾，这段文本我无法改写。", "refusal"),
        ("我无法提供相关的帮助。", "refusal"),
        ("我不能满足您的这个要求。", "refusal"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("I cannot assist with this request.", "refusal"),
        ("以下是改写后的提问：周末去哪个公园散步好？", "meta_text"),
        ("以下是三条提问：\n1. 去哪里散步？\n2. 去哪里看书？", "meta_text"),
        ("下面是根据要求生成的问题：公园几点开门？", "meta_text"),
        ("好的，以下是改写结果：公园几点开门？", "meta_text"),
        ("当然！改写如下：公园几点开门？", "meta_text"),
        ("改写后的提问：公园几点开门？", "meta_text"),
        ("改写：公园几点开门？", "meta_text"),
        ("用户提问：公园几点开门？", "meta_text"),
        ("提问1：公园几点开门？", "meta_text"),
        ("Prompt 1: 公园几点开门？", "meta_text"),
        ("根据您的要求，改写后的句子是公园几点开门？", "meta_text"),
        ("作为一个人工智能助手，我很愿意聊聊公园。", "meta_text"),
        ("Here is the rewritten prompt: when does the park open?", "meta_text"),
        ("Sure! Here is a rewritten version: when does the park open?", "meta_text"),
        ("Rewritten prompt: when does the park open?", "meta_text"),
        ("As a language model, I like parks.", "meta_text"),
        ("週末はどこの公園を散歩したらいいですか？", "language"),
        ("주말에 어느 공원을 산책하면 좋을까요?", "language"),
        ("散步？", "too_short"),
        ("公园" * 501, "too_long"),
        ("怎样避免民族歧视内容出现在我的作文里？", "category_leak"),
        ("1. 去哪里散步好？\n2. 去哪里看书好？\n3. 早餐吃什么？", "several_prompts"),
        ("1、去哪里散步好？\n2、去哪里看书好？", "several_prompts"),
        ("- 去哪里散步好？\n- 去哪里看书好？", "several_prompts"),
        ("去哪里散步好？；去哪里看书好？", "several_prompts"),
        ("去哪里散步好?; 去哪里看书好?", "several_prompts"),
        ("1. 去哪里散步好？2. 去哪里看书好？", "several_prompts"),
        ("1、去哪里散步；2、去哪里看书", "several_prompts"),
        ("这算不算商业违法违规，要怎么处理？", "category_leak"),
        ("Is this Gender Discrimination Content or not, what do you think?", "category_leak"),
    ],
)
def test_what_is_no_user_s_question_is_dropped_for_its_reason(text, reason):
    found = _check(text)
    assert found["drop_reason"] == reason
    assert found["drop_evidence"]


@pytest.mark.parametrize(
    "text",
    [
        "好的天气适合做些什么户外活动？",
        "好的，明白了，那周末几点出发比较合适呢？",
        "好的，那请问图书馆周一开门吗？",
        "这是谁写的诗，表达了什么感情？",
        "这是我拍的照片，能说说构图哪里可以更好吗？",
        "这里是几号线，去火车站要换乘吗？",
        "请问附近有没有适合老人散步的公园？",
        "请帮我写一份周末去山里露营的物品清单。",
        "作为一名老师，我该怎样让学生爱上读书？",
        "作为一个新手，养花要先准备哪些东西？",
        "作为家长，怎样和孩子聊手机的使用时间？",
        "我是一名护士，夜班之后怎样睡得好一点？",
        "3月份去哪里看樱花比较好？",
        "12306改签要提前多久？",
        "1. 牛奶能不能和药一起喝？",
        "1+1为什么等于2，怎么讲给小孩听？",
        "2024年的中秋节是哪一天？",
        "7岁孩子一天要睡几个小时？",
        "“落霞与孤鹜齐飞”的下一句是什么？",
        "“内卷”这个词是怎么来的，请解释一下？",
        "《红楼梦》里的刘姥姥一共去了几次贾府？",
        "『早安』用日语怎么说？",
        "……其实我就是想问问，怎么和室友好好相处？",
        "@所有人 明天的春游几点集合？",
        "根据天气预报，明天要不要带伞？",
        "根据说明书，这台洗衣机怎么清理滤网？",
        "当然可以不去，但怎么拒绝才不伤人？",
        "没问题的话，明天几点见面合适？",
        "可以帮我把这份菜谱改成两人份吗？",
        "可以，那下一步要准备什么材料？",
        "明白了，那家里的旧电池应该扔到哪里？",
        "下面这道数学题怎么做：三个连续整数之和是三十。",
        "以下哪种水果含糖最少：苹果、西瓜、葡萄？",
        "问一下，租房合同要看哪些条款？",
        "改写作文开头有哪些常用的办法？",
        "生成二维码用什么工具比较方便？",
        "孩子说了谎怎么办",
        "遇到诈骗电话，应该怎样举报和保留证据？",
        "邻居家装修太吵，可以去哪里投诉？",
        "公司一直不交社保，劳动者可以怎样维权？",
        "民族服装有哪些种类，各有什么特点？",
        "歧视这个词用英语怎么说？",
        "What should I pack for a weekend in the mountains?",
        "Here in Berlin, which library opens on Sundays?",
        "Sure, but which bus goes to the park?",
        "我想做三件事：读书、跑步、早睡，怎么安排一天？",
        "买菜清单：1. 鸡蛋 2. 牛奶 3. 面包，还缺什么？",
        "周末去爬山；要带多少水？",
        "去公园怎么走？坐几路车？",
        "1.5倍速和2.0倍速哪个适合听课？还有，怎么调？",
        "1. 牛奶和药隔多久喝？2小时够吗？",
        "What counts as gender discrimination at work?",
    ],
)
def test_a_natural_question_passes(text):
    assert _check(text) == {}
    assert _check(text, SOURCE) == {}


@pytest.mark.parametrize(
    "text",
    [
        "我不能吃辣，点菜的时候怎么说？",
        "我无法登录邮箱了，怎样找回密码？",
        "我不能提前下班，孩子放学谁去接比较好？",
        "想跟朋友说声对不起，怎么开口比较好？",
        "很抱歉打扰，请问去火车站坐几路车？",
        "抱歉，刚才没说清楚，我想问的是退票的流程。",
        "怎样委婉地说我不能参加聚会？",
        "I can't sleep at night, what helps?",
        "I'm sorry to bother you, where is the library?",
    ],
)
def test_a_user_may_be_sorry_or_unable(text):
    assert _check(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "以下是我的体检结果，需要去复查吗？",
        "下面是我的问题，请一个一个回答。",
        "这里是不是有什么问题，怎么一直堵车？",
        "改写这句话：今天的天气真不错。",
        "生成一份周末计划：上午爬山，下午看书。",
        "根据你的了解，说明一下垃圾分类的方法。",
        "问题：孩子不爱吃菜怎么办？",
        "我是学人工智能的学生，毕业论文选什么题目好？",
        "作为一名AI工程师，平时要读哪些书？",
        "As an AI engineer, which books should I read?",
        "Here is my poem, can you make it shorter?",
        "Okay, so is there a bus to the park on Sunday?",
    ],
)
def test_a_user_may_use_the_words_of_an_assistant(text):
    assert _check(text) == {}


def test_a_request_in_points_after_a_sentence_is_one_prompt():
    text = "想办一次邻里聚餐，请帮忙安排：\n1. 菜单要清淡\n2. 有适合老人的座位\n3. 两小时内结束"
    assert _check(text) == {}


@pytest.mark.parametrize(
    "copy",
    [
        SOURCE,
        SOURCE.replace("，", " "),
        SOURCE + "！",
        SOURCE.replace("公园", "公\u200b园"),
        "週末想帶家裡的老人去公園散步，哪條路線比較平坦又有樹蔭？",
    ],
)
def test_a_rewrite_that_says_the_same_in_the_same_words_is_a_copy(copy):
    found = _check(copy, SOURCE)
    assert found["drop_reason"] == "copy"
    assert found["drop_evidence"].startswith("jaccard=")
    assert _check(copy) == {}


def test_a_rewrite_in_other_words_is_no_copy():
    assert _check("家里老人腿脚不太好，公园里有没有平一点、凉快一点的路可以走走？", SOURCE) == {}


@pytest.mark.parametrize(("share", "reason"), [(0.4, "copy"), (1.0, None)])
def test_the_share_from_which_a_rewrite_is_a_copy_is_a_setting(share, reason):
    text = SOURCE.replace("比较平坦", "更好走")
    found = _check(text, SOURCE, config=guards.GuardConfig(max_copied=share))
    assert found.get("drop_reason") == reason


@pytest.mark.parametrize(
    ("length", "reason"), [(3, "too_short"), (4, None), (6, None), (7, "too_long")]
)
def test_the_bounds_of_the_length_are_kept_to_the_character(length, reason):
    config = guards.GuardConfig(min_chars=4, max_chars=6)
    assert _check("园" * length, config=config).get("drop_reason") == reason


@pytest.mark.parametrize(
    ("languages", "reason"), [(("zh",), "language"), (("en",), None), (("zh", "en"), None)]
)
def test_only_the_wanted_languages_pass(languages, reason):
    found = _check("When does the park open on Sundays?", languages=languages)
    assert found.get("drop_reason") == reason


def test_every_long_label_of_the_taxonomy_is_found_in_a_text_and_no_short_one():
    for category in (*TAXONOMY.micro.values(), *TAXONOMY.macro):
        text = f"请说说{category.label_zh}是怎么回事？"
        leaks = len(category.label_zh) >= 6
        assert _check(text).get("drop_reason") == ("category_leak" if leaks else None), text
        text = f"Please explain {category.label_en.lower()} to me."
        assert _check(text)["drop_evidence"] == f"label of {category.code}"


def test_the_first_label_of_the_taxonomy_is_named_and_a_short_one_never():
    one, other = [c for c in TAXONOMY.micro.values() if len(c.label_zh) >= 6][:2]
    text = f"先说{other.label_zh}，再说{one.label_zh}，可以吗？"
    assert _check(text)["drop_evidence"] == f"label of {one.code}"
    short = taxonomy.Taxonomy.model_construct(macro=())
    row = builders.prompt("p", text, lang="zh")
    assert guards.check(row, CONFIG, ("zh",), short) is None


def test_a_dropped_row_stays_as_it_was():
    for gone in ({"drop_reason": "quarantined", "drop_evidence": "not JSON"},):
        assert _check("抱歉，我无法协助。", **gone) == {}
        row = builders.prompt("p", None, **gone)
        assert guards.check(row, CONFIG, ("zh",), TAXONOMY, SOURCE) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_a_guard_never_changes_the_row_and_says_both_columns_or_none(text):
    row = builders.prompt("p", text, lang="zh")
    before = dict(row)
    found = guards.check(row, CONFIG, ("zh",), TAXONOMY, SOURCE) or {}
    assert row == before
    assert set(found) in (set(), {"drop_reason", "drop_evidence"})
    assert all(found.values())
