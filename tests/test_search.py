"""From a sound to presets, the files and the page that come out, and what is done with bad input."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from synthproxy import search, search_study, similar
from synthproxy.audio_models import SAMPLE_RATE_HZ, get_audio_model
from synthproxy.datasets import get_dataset
from synthproxy.distances import DISTANCES, measure_sounds
from synthproxy.plugins import RenderError
from synthproxy.presets import Presets, read_presets
from synthproxy.priors import differing, find_voices, have_voices, preset_folder
from synthproxy.rendering import DexedRenderer, rms
from synthproxy.search import SEARCH_NOTE, Audition, Origin, descend, find_key, load_target, make_pool, make_target, nearest, pool_prior, vary
from synthproxy.search_page import find_presets, main, matches, search_page
from synthproxy.similar import find_similar, unrelated, variations
from synthproxy.synths import get_synth, sample, validate
from synthproxy.proxies import SynthProxy
from synthproxy.writers import WRITERS, dx7_name, write_presets

ROOT = Path(__file__).parent.parent
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
DEXED, RENDERER = get_synth("dexed"), DexedRenderer()


@pytest.fixture(scope="module")
def proxy() -> SynthProxy:
    return SynthProxy.from_pretrained("dexed")


@pytest.fixture(scope="module")
def people():
    return get_dataset("dexed", "cpu", "handcrafted")


@pytest.fixture(scope="module")
def pool(proxy, people):
    return make_pool(proxy, people.presets[:80], people.names[:80], people.manifest["sources"][:80])


@pytest.mark.parametrize(("rate", "channels", "gain"), [(8_000, 1, 1.0), (44_100, 2, .01), (96_000, 6, 3.0)])
def test_a_target_of_any_rate_channels_and_level(tmp_path, rate, channels, gain):
    seconds = np.arange(rate) / rate
    tone = gain * .1 * (np.sin(2 * np.pi * 220 * seconds) + np.sin(2 * np.pi * 440 * seconds) / 2) * np.exp(-seconds)
    soundfile.write(tmp_path / "a.wav", np.stack([tone] * channels, 1), rate, subtype="FLOAT")
    target = load_target(tmp_path / "a.wav")
    assert target.audio.shape == target.at_c.shape == (160_000,) and target.audio.dtype == np.float32
    assert .01 <= rms(target.audio[None])[0] < 1 and target.note.pitch == 57
    assert bool([text for text in target.said if "level" in text]) == (rms(np.pad(tone, (0, 4 * rate))[None])[0] < .01)


def test_a_long_clipped_target_is_cut_and_said(tmp_path):
    noise = np.clip(np.random.default_rng(0).normal(0, 1, 40 * 32_000), -.9, .9)
    soundfile.write(tmp_path / "a.flac", noise, 32_000)
    said = "; ".join(load_target(tmp_path / "a.flac").said)
    assert "only the first 30 s of 40" in said and "clipped" in said and "cut to 5 s" in said and "no pitch found" in said


@pytest.mark.parametrize(("noise", "offset"), [(0, 0), (.003, 0), (0, .002)]) # RMS of a recorder's noise, DC offset; of a sound with peaks at 1
def test_what_comes_before_the_sound_is_left_out_noise_or_not(tmp_path, people, noise, offset):
    sound = RENDERER.render(people.presets[[people.names.index("E.PIANO 1")]])[0]
    sound /= np.abs(sound).max()
    whole = np.concatenate([np.zeros(6 * 32_000, np.float32), sound]) + offset + noise * np.random.default_rng(0).normal(size=11 * 32_000)
    soundfile.write(tmp_path / "a.wav", whole, 32_000, subtype="FLOAT")
    target = load_target(tmp_path / "a.wav", key=60)
    assert any(re.fullmatch(r"(5.9\d|6.0[0-2]) s of silence before the sound left out", text) for text in target.said)
    start = max(range(-800, 801, 32), key=lambda at: np.dot(np.roll(target.audio, at)[:64_000], sound[:64_000]))
    assert np.corrcoef(np.roll(target.audio, start)[1000:64_000], sound[1000:64_000])[0, 1] > .95


def test_the_key_is_that_of_the_part_that_is_matched(tmp_path):
    seconds = np.arange(5 * 32_000) / 32_000
    low, high = (sum(np.sin(2 * np.pi * hz * n * seconds) / n for n in range(1, 6)) / 5 for hz in (261.6, 392.0))
    soundfile.write(tmp_path / "a.wav", np.concatenate([low, high, high, high]), 32_000, subtype="FLOAT")
    assert load_target(tmp_path / "a.wav").note.pitch == 60


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_sound_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("x") / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.wav: "):
        load_target(path)


@pytest.mark.parametrize("key", [54, 57, 60, 65])
def test_the_key_is_found_whatever_the_octave(key):
    seconds = np.arange(64_000) / 32_000
    for octave in (-1, 0, 1):
        hz = 440 * 2 ** ((key + 12 * octave - 69) / 12)
        tone = sum(np.sin(2 * np.pi * hz * n * seconds) / n for n in range(1, 6))
        assert find_key((.2 * tone).astype(np.float32)) == key


def test_the_right_preset_comes_first_and_stages_never_worsen(proxy, pool, people, mn04_weights):
    target = make_target(RENDERER.render(people.presets[[7]])[0])
    found = search.search(target, pool, proxy, RENDERER, renders=2)
    assert np.array_equal(found.presets[found.best(1)[0]], people.presets[7]) and found.distances.min() == 0
    others = make_pool(proxy, people.presets[20:80], people.names[20:80], people.manifest["sources"][20:80])
    found = search.search(target, others, proxy, RENDERER, renders=40, stages=search.STAGES)
    stages = np.array(found.stages)
    after = [found.distances[:1 + np.flatnonzero(stages == stage)[-1]].min() for stage in search.STAGES]
    assert len(found.presets) == 40 and after[2] <= after[1] <= after[0] and after[2] < after[0]
    assert len(np.unique(found.presets, axis=0)) == 40 # no preset is played twice
    validate(DEXED, found.presets)
    again = search.search(target, others, proxy, RENDERER, renders=40, stages=search.STAGES)
    assert np.array_equal(again.presets, found.presets) # the same presets every time


def test_a_study_goes_on_where_it_was_stopped(proxy, pool, monkeypatch, tmp_path, mn04_weights):
    monkeypatch.setattr(search_study, "study_pool", lambda proxy, people: (pool, 8)) # the real one takes minutes
    monkeypatch.setattr(search_study, "RENDERS", (2, 6, 12))
    monkeypatch.setattr(search_study, "LONG_EACH", 37) # of the two, dexed 222 and dexed 190, one is long
    monkeypatch.setattr(search_study, "results_path", lambda name="search.csv": tmp_path / name)
    searched, find = [], search_study.best_sounds

    def count(*given) -> dict: # and stop at the second
        searched.append(given)
        if len(searched) == 2:
            raise KeyboardInterrupt
        return find(*given)

    monkeypatch.setattr(search_study, "best_sounds", count)
    with pytest.raises(KeyboardInterrupt):
        search_study.run_study("handcrafted", 2)
    first = search_study.read_table(tmp_path / "search.csv", search_study.COLUMNS)
    assert set(first.targets) == {1, 200} and set(first.method) == {"search", "retrieval", "random", "cma_es", "cma_es_seeded", "nearest_bank"}
    search_study.run_study("handcrafted", 2)
    assert len(searched) == 3
    each, results = search_study.targets_of("handcrafted", proxy), search_study.read_table(tmp_path / "search.csv", search_study.COLUMNS)
    assert list(dict.fromkeys(each.target)) == sorted(search_study.study_targets("handcrafted", 2))
    found, ours = search_study.found_presets("handcrafted", proxy), each[(each.method == "search") & (each.stage == "evolution") & (each.renders == 6)]
    played = RENDERER.render(found.loc[ours.target].to_numpy(), SEARCH_NOTE)
    sounds = {name: make_target(sound).audio for name, sound in search_study.sounds_of(list(ours.target))}
    assert np.allclose(measure_sounds(played, np.stack([sounds[name] for name in ours.target]), ("mrstft",)).mrstft, ours.mrstft, rtol=1e-3)
    known = results[results.method == "search"]
    assert set(known.stage) == {*search.STAGES, search_study.AFTER_GRADIENT, search_study.ALONE}
    assert (known.targets == np.where(known.renders == 12, 1, 2)).all() and 12 in set(known.renders)
    shortest = each.pivot(index=["target", "renders"], columns=["method", "stage"], values="distance")
    assert (shortest["cma_es_seeded", "evolution"] <= shortest["retrieval", "retrieval"] + 1e-6)[:, 2].all() # what it starts from counts
    assert (shortest["random", ""].unstack().diff(axis=1).fillna(0) <= 1e-6).all().all() # more renders, nothing worse
    assert np.isclose(known.value[(known.stage == "evolution") & (known.renders == 6) & (known.metric == "mn04_l1")].item(),
                      each[(each.method == "search") & (each.stage == "evolution") & (each.renders == 6)].mn04_l1.mean())


def test_other_synths_are_searched_for_in_equal_parts():
    names = search_study.study_targets("other_synths", 51)
    assert len(set(names)) == 51 and sum(name.startswith("amsynth ") for name in names) == 25
    (name, sound), = search_study.sounds_of([names[-1]])
    assert name.startswith("faust_poly ") and rms(sound[None])[0] > .001
    with pytest.raises(ValueError, match="100 sounds of faust_poly: there are 64"):
        search_study.study_targets("other_synths", 200)


def test_a_search_hears_spectra_whatever_the_level(proxy, pool, people, mn04_weights):
    sound = RENDERER.render(people.presets[[7]])[0]
    for gain in (1.0, 4.0):
        found = search.search(make_target(gain * sound.astype(np.float64)), pool, proxy, RENDERER, renders=4) # samples of any kind
        assert np.array_equal(found.presets[found.spectral.argmin()], people.presets[7]) and found.spectral.min() < 1e-4
    assert "gradient" not in found.stages # unless asked for
    assert np.allclose(found.distances, np.abs(found.embeddings - found.wanted).mean(1) + found.spectral / 4)
    alone = search.search(make_target(sound), pool, proxy, RENDERER, renders=4, mel_share=0)
    assert np.allclose(alone.distances, np.abs(alone.embeddings - alone.wanted).mean(1))


def test_a_search_ends_when_time_is_up_or_at_ctrl_c(proxy, pool, people, monkeypatch, mn04_weights):
    target = make_target(RENDERER.render(people.presets[[7]])[0])
    assert len(search.search(target, pool, proxy, RENDERER, renders=60, seconds=0).presets) == 12 # its first round
    whole, evolve = search.search(target, pool, proxy, RENDERER, renders=30), search._evolve
    rounds = []

    def stop(*given) -> None: # at the second round
        rounds.append(given)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        evolve(*given)

    monkeypatch.setattr(search, "_evolve", stop)
    found = search.search(target, pool, proxy, RENDERER, renders=30)
    assert 0 < len(found.presets) < 30 and np.array_equal(found.presets, whole.presets[:len(found.presets)])


def test_a_search_ends_where_nothing_can_be_played(proxy, pool, people, mn04_weights):
    class Mute(DexedRenderer):
        def render(self, presets, note=SEARCH_NOTE):
            raise RenderError("no")

    found = search.search(make_target(RENDERER.render(people.presets[[0]])[0]), pool, proxy, Mute(), renders=12)
    assert not matches(found) and 0 < len(found.presets) < 12


def test_a_preset_that_cannot_be_played_costs_one_render(pool, people):
    class Picky(DexedRenderer):
        def render(self, presets, note=SEARCH_NOTE):
            if (presets == pool.presets[3]).all(1).any():
                raise RenderError("no")
            return super().render(presets, note)

    model = get_audio_model("mel128")
    audition = Audition(make_target(RENDERER.render(people.presets[[0]])[0]), Picky(), model, 6)
    origins = [Origin(f"PIANO (no. {i})", "a (1).syx:3") for i in range(5)]
    audition.play(pool.presets[:5], np.zeros((5, model.dims), np.float32), origins, "retrieval")
    assert np.isinf(audition.distances).tolist() == [False, False, False, True, False] and audition.best(1)[0] == 0
    found = matches(audition)
    assert len(found) == 4 and found[0].name == "01 PIANO (no. 0)" and found[0].source == "a (1).syx:3, by retrieval"


def test_a_descent_comes_nearer(proxy, people):
    starts, wanted = people.presets[:6], proxy.embed(people.presets[10:16])
    before = np.abs(proxy.embed(starts) - wanted).mean(1)
    found = descend(proxy, starts, wanted, steps=8)
    validate(DEXED, found)
    assert (np.abs(proxy.embed(found) - wanted).mean(1) <= before + 1e-6).all() and (found != starts).any()
    categories = [i for i, p in enumerate(DEXED.used) if p.categories]
    assert np.array_equal(found[:, categories], starts[:, categories])


@pytest.mark.parametrize("synth", ["dexed", "amsynth", "faust_poly", "talnm"])
def test_children_are_valid_presets(synth):
    table = get_synth(synth)
    parents = sample(table, 50, seed=1)
    children = vary(table, parents, np.full(50, .3), np.random.default_rng(0), sample(table, 20, seed=2))
    validate(table, children)
    assert (children != parents).any(1).all()


def test_a_damaged_pool_is_predicted_again(proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path))
    presets, names = sample(DEXED, 4), list("abcd")
    expected = make_pool(proxy, presets, names, names, cache=True).embeddings
    for content in (b"", b"junk" * 100):
        for path in (tmp_path / "pools").iterdir():
            path.write_bytes(content)
        assert np.array_equal(make_pool(proxy, presets, names, names, cache=True).embeddings, expected)
        assert [path.stat().st_size > 400 for path in (tmp_path / "pools").iterdir()] == [True]


def test_a_million_presets_are_searched_exactly():
    table = np.random.default_rng(0).random((1_000_000, 16), np.float32)
    assert nearest(table[123_456], table, 1)[0] == 123_456


@pytest.mark.parametrize(("synth", "ending"), [*WRITERS, ("diva", ".json")])
def test_what_is_written_is_read_back(tmp_path, synth, ending):
    presets, names = sample(get_synth(synth), 5, seed=4), ["a", "ünï <&> \"x\"", "", "c\nd", "a"]
    read = read_presets(synth, write_presets(synth, tmp_path / f"x{ending}", presets, names), strict=True)
    assert np.array_equal(read.presets[:5], presets)


@settings(max_examples=50, deadline=None)
@given(name=st.text(max_size=30))
def test_a_name_of_ten_letters(name):
    assert len(dx7_name(name)) == 10 and all(32 <= byte < 127 for byte in dx7_name(name))


def test_the_command_end_to_end(tmp_path, people, mn04_weights, monkeypatch, capsys):
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    bank = write_presets("dexed", tmp_path / "bank.syx", people.presets[:30], people.names[:30])
    soundfile.write(tmp_path / "target.wav", RENDERER.render(people.presets[[4]])[0], 32_000, subtype="FLOAT")
    options = {"--bank": bank, "-o": tmp_path / "match.syx", "--html": tmp_path / "match.html", "--renders": 8, "--pool": 64, "--key": 60}
    main([str(tmp_path / "target.wav"), *(str(word) for pair in options.items() for word in pair)])
    lines = capsys.readouterr().out.splitlines()
    assert people.names[4].strip() in lines[2] and lines[2].startswith("0.0000")
    read = read_presets("dexed", tmp_path / "match.syx", strict=True)
    assert len(read.presets) == 32 and np.array_equal(read.presets[0], people.presets[4]) and read.names[0].startswith("01 ")
    assert (tmp_path / "match.syx").stat().st_size == 4104
    check_page(tmp_path / "match.html")


def test_the_notebook_searches_for_a_sound(tmp_path, people, mn04_weights, monkeypatch, capsys):
    "Its cells as papermill runs them, up to the search."
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    bank = write_presets("dexed", "target.syx", people.presets[:30], people.names[:30])
    soundfile.write("target.wav", RENDERER.render(people.presets[[4]])[0], 32_000, subtype="FLOAT")
    before, names, shown = bank.read_bytes(), {"__name__": "__main__"}, []
    cells = [cell for cell in json.loads((ROOT / "nbs" / "07_search_page.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    for source, tags in [("".join(cell["source"]), cell["metadata"].get("tags")) for cell in cells]:
        exec(source, names)
        names |= {"target": "target.wav", "bank": str(bank), "renders": 8, "drawn": 64, "key": 60} if tags else {"display": shown.append}
        if source.startswith("if target"):
            break
    said = capsys.readouterr().out
    assert f"0.0000  01 {people.names[4].strip()}" in said and "32 presets: target-match.syx" in said
    assert (tmp_path / "target-match.syx").stat().st_size == 4104 and bank.read_bytes() == before # nothing of the user's is written over
    page = (tmp_path / "match.html").read_text()
    assert page.endswith(shown[0].data) and shown[0].data.count("<audio") == 9 and "<style" not in shown[0].data # which would be the notebook's too


def check_page(path) -> None: # in a browser without network
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"])
        opened, trouble = browser.new_context(offline=True, accept_downloads=True).new_page(), []
        opened.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
        opened.on("requestfailed", lambda request: trouble.append(request.url[:80]))
        opened.goto(path.as_uri())
        assert opened.locator("tr.match").count() >= 3
        seconds = opened.evaluate("""async () => { const a = document.querySelector('tr.match audio'); a.preload = 'auto'; a.load();
            await new Promise(done => a.onloadedmetadata = done); return a.duration; }""")
        assert 4.9 < seconds < 5.3 and not trouble
        with opened.expect_download() as download:
            opened.locator("tr.match a").first.click()
        assert download.value.path().stat().st_size == 163
        browser.close()


def test_hostile_names_are_shown_as_text(pool, people):
    model = get_audio_model("mel128")
    target = make_target(RENDERER.render(people.presets[[0]])[0])
    audition = Audition(target, RENDERER, model, 1)
    audition.play(pool.presets[:1], np.zeros((1, model.dims), np.float32), [Origin("<script>alert(1)</script>", "<script>alert(2)</script>")], "retrieval")
    page = search_page(target, matches(audition), RENDERER)
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_a_pool_without_peoples_presets_says_so(tmp_path, proxy, people, monkeypatch, caplog):
    (tmp_path / "dexed").mkdir()
    write_presets("dexed", tmp_path / "dexed" / "mine.syx", people.presets[:32], people.names[:32])
    monkeypatch.setenv("SYNTHPROXY_PRESETS", str(tmp_path))
    with pytest.raises(ValueError, match="not exactly Dexed's own cartridges"): # damaged ones are not taken for none
        have_voices("dexed")
    assert pool_prior("dexed").name == "uniform"
    assert "presets are drawn uniformly, for want of people's" in caplog.text and "not exactly Dexed's own cartridges" in caplog.text
    caplog.clear()
    assert [pool_prior(synth).name for synth in ("amsynth", "faust_poly")] == ["prior", "uniform"] # of which the second has none
    assert not caplog.messages
    with pytest.raises(ValueError, match="not exactly Dexed's own cartridges"): # a study says nothing of another pool
        search_study.study_pool(proxy, people.presets)


def test_voices_in_a_pool_are_called_by_their_names(proxy, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path))
    pool, voices = search.open_pool(proxy, rows=8), find_voices("dexed")
    read = read_presets("dexed", preset_folder("dexed"))
    for i in range(0, len(voices), 99):
        at = read.sources.index(pool.sources[i].removeprefix("Dexed's "))
        assert np.array_equal(read.presets[at], pool.presets[i]) and read.names[at] == pool.names[i]
    assert pool.names[-1] == "drawn 7"


@pytest.mark.parametrize(("given", "message"), [
    ({"target": "nowhere.wav"}, "no sound file nowhere.wav"), ({"synth": "dexd"}, "did you mean 'dexed'?"),
    ({"bank": "nowhere"}, "nowhere"), ({"synth": "diva"}, "set DIVA_PATH to its file"), ({"pool": -1}, "pool is -1"), ({"out": "a.bank"}, "unknown ending of a file of dexed presets '.bank'"),
])
def test_mistakes_are_named(tmp_path, given, message):
    soundfile.write(tmp_path / "x.wav", .1 * np.sin(np.arange(20_000) / 20), 32_000)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        find_presets(**{"target": tmp_path / "x.wav"} | given)


def test_the_command_says_a_mistake_in_one_line():
    command = Path(sys.executable).with_name("synthproxy-search")
    run = subprocess.run([command, "nowhere.wav"], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr == "synthproxy-search: no sound file nowhere.wav\n"


def test_the_commands_for_presets(tmp_path, people, monkeypatch, capsys):
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    chosen = [3, 9, 12, 20]
    bank = write_presets("dexed", tmp_path / "bank.syx", people.presets[chosen], [people.names[i] for i in chosen])
    similar.main(str(bank), number=2, count=3)
    said = capsys.readouterr().out.splitlines()
    assert people.names[12].strip() in said[2] and "    0.000" in said[2]
    similar.vary_main(str(bank), amount=30, count=3, out=str(tmp_path / "v.syx"))
    assert "3 variations" in capsys.readouterr().out and len(read_presets("dexed", tmp_path / "v.syx").presets) == 32
    for command in ("synthproxy-similar", "synthproxy-vary"):
        run = subprocess.run([Path(sys.executable).with_name(command), bank, "--number", "40"], capture_output=True, text=True)
        assert run.returncode == 1 and "preset 40 of 32" in run.stderr and "Traceback" not in run.stderr
    for command, count in ((similar.main, 0), (similar.vary_main, 0), (similar.vary_main, 33)):
        with pytest.raises(SystemExit, match=f"count is {count}, expected"):
            command(str(bank), count=count)


def test_the_same_presets_are_found_as_one_by_one(people):
    rng = np.random.default_rng(0)
    presets = people.presets[rng.integers(0, 40, 120)].copy()
    level, rate = (DEXED.names.index(f"op6_{what}") for what in ("output_level", "eg_rate_1"))
    presets[::2, level], presets[::4, rate] = 0, 0.5
    read = Presets([str(i) for i in range(120)], [f"{i:03d}" for i in range(120)], presets, {}, {})
    same = differing(DEXED, presets, presets) == 0
    found = similar.find_duplicates(DEXED, read)
    assert set(found.name) == {str(i) for i in np.flatnonzero(same.sum(1) > 1)}
    for _, group in found.groupby("group"):
        rows = group.name.astype(int).to_numpy()
        assert set(np.flatnonzero(same[rows[0]])) == set(rows)
    assert found.groupby("group").source.first().is_monotonic_increasing # numbered as they come


def test_neighbours_and_variations(proxy, pool, people):
    found = find_similar(proxy, people.presets[5], pool, 4)
    assert found.name[0] == people.names[5] and found.distance[0] < 1e-3 and found.differing[0] == 0
    scale = unrelated(proxy)
    for amount in (.1, .5):
        made, away = variations(proxy, people.presets[5], amount, scale, count=4, tried=128)
        validate(DEXED, made)
        assert np.allclose(away, amount, atol=.05)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), gain=st.floats(.01, 2))
def test_distances_know_the_same_sound(seed, gain):
    audio = (gain * .1 * np.random.default_rng(seed).normal(size=(1, 16_000))).astype(np.float32)
    table = measure_sounds(audio, audio)
    for name, distance in DISTANCES.items():
        assert np.allclose(table[name], 1 if distance.higher_is_better else 0, atol=1e-4)
