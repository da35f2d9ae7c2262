"""What the tests of data sets share: a small KuaiRand release, and where the real rows lie."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from keras_smes.data.datasets.fake_kuairand import write_made_up_kuairand

LOG_HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
)
USER_HEADER = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,"
    "follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,"
    "register_days,register_days_range," + ",".join(f"onehot_feat{number}" for number in range(18))
)
VIDEO_HEADER = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,"
    "server_height,music_id,music_type,tag"
)
LOG = (
    "7,1,20220504,2300,1651676400000,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1",
    "7,2,20220504,2300,1651676460000,0,0,0,0,0,0,0,100,20000,0,0,0,0,1",
    "8,1,20220505,1215,1651724100000,1,1,0,0,0,0,0,9000,10000,0,0,1,0,4",
)
USERS = (
    '7,full_active,0,-124,1,514,500+,150,"[100,1k)",34,"[30,60)",799,730+,' + ",".join(["1.0"] * 18),
    '8,,0,1,0,5,"(0,10]",0,0,0,0,40,31-60,' + ",".join([""] * 18),
)
VIDEOS = (
    '1,100,NORMAL,2022-04-10,LongImport,0.0,10100.0,720.0,1280.0,5,9.0,"39,3"',
    "2,101,AD,2022-04-11,,0.0,,720.0,1280.0,6,,",
)


@pytest.fixture
def write_release(tmp_path: Path) -> Callable[..., Path]:
    """Writes a release of KuaiRand in the official layout, of the lines given."""

    def write(
        log: Sequence[str] = LOG,
        users: Sequence[str] = USERS,
        videos: Sequence[str] = VIDEOS,
        variant: str = "pure",
        log_header: str = LOG_HEADER,
    ) -> Path:
        folder = tmp_path / "release" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in {
            f"log_standard_4_22_to_5_08_{variant}": (log_header, *log),
            f"user_features_{variant}": (USER_HEADER, *users),
            f"video_features_basic_{variant}": (VIDEO_HEADER, *videos),
        }.items():
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder.parent

    return write


@pytest.fixture(scope="session")
def write_random_release() -> Callable[..., Path]:
    """Writes a made-up release of any number of rows in the official layout."""
    return write_made_up_kuairand
