"""Adversarial Lab: see how little it takes to fool a neural network, and what adversarial training changes."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

# Threads that spin while they wait slow down another program on the same cores tenfold: a page beside a training job.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A network is a hundred short operations, and each waits this long for the interpreter while another session draws its page.
sys.setswitchinterval(0.0005)

import streamlit as st

# Before `st.navigation`, which would fetch the icon of each page from the network.
st.set_page_config(page_title="Adversarial Lab", page_icon=str(Path(__file__).with_name("ui") / "icon.png"), layout="wide")

LOADING = """
<style>
.loading i { display: block; border-radius: .6rem; margin-bottom: 1rem; background: rgba(128,128,128,.16);
  animation: loading 1.4s ease-in-out infinite alternate; }
@keyframes loading { to { opacity: .4; } }
</style>
<div class="loading" role="status" aria-label="Loading"><i style="height: 2.2rem; width: 60%"></i><i style="height: 3rem"></i>
<i style="height: 45vh"></i></div>
"""
"""A heading, controls and a picture, while the libraries are loaded for the first visit of a server."""


def page_of(name: str) -> Callable[[], None]:
    """The page in a file of pages/, which is imported when it is drawn: what it needs takes seconds to load."""
    return lambda: importlib.import_module(f"pages.{name}").page()


ATTACK = st.Page(page_of("attack"), title="Attack", icon=":material/bolt:", url_path="", default=True)
YOUR_IMAGE = st.Page(page_of("your_image"), title="Your image", icon=":material/add_photo_alternate:", url_path="your_image")
PAGES = [
    ATTACK,
    st.Page(page_of("learn"), title="Learn", icon=":material/lightbulb:", url_path="learn"),
    st.Page(page_of("why"), title="Why", icon=":material/travel_explore:", url_path="why"),
    YOUR_IMAGE,
    st.Page(page_of("accuracy"), title="Accuracy vs ε", icon=":material/show_chart:", url_path="accuracy"),
    st.Page(page_of("believe"), title="Can it be believed?", icon=":material/verified:", url_path="believe"),
    st.Page(page_of("papers"), title="Papers", icon=":material/menu_book:", url_path="papers"),
    st.Page(page_of("retrain"), title="Retrain", icon=":material/school:", url_path="retrain"),
    st.Page(page_of("models"), title="Models", icon=":material/inventory_2:", url_path="models"),
    # Reached from the foot of every page and from Learn: a tenth entry does not fit beside the sidebar.
    st.Page(page_of("present"), title="Present", icon=":material/slideshow:", url_path="present", visibility="hidden"),
]
# Addresses that lead to a page of another address, with what the link asks for.
MOVED = [
    st.Page(
        lambda page=page: st.switch_page(page, query_params=st.query_params.to_dict()),
        title=old,
        url_path=old,
        visibility="hidden",
    )
    for old, page in {"attack": ATTACK, "your-image": YOUR_IMAGE}.items()
]
page = st.navigation([*PAGES, *MOVED], position="top")
st.set_page_config(page_title=f"{page.title} – Adversarial Lab")
# The navigation stands before what takes long to load.
shape = st.empty()
if "torch" not in sys.modules:
    shape.html(LOADING)
from advcore.jobs import queue
from ui import frame, uploads

uploads.limit()
queue.tidy()
shape.empty()
frame.show(page)
