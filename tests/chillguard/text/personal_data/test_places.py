import pytest

from chillguard.text import personal_data


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("IP：114.25.36.47", "IP：<IP>"),
        ("服务器62点7点231点22连不上", "服务器<IP>连不上"),
        ("我的IPv6：2409:8a00:1:2:3:4:5:6", "我的IPv6：<IP>"),
        ("网卡00:1a:2b:3c:4d:5e", "网卡<MAC>"),
        ("坐标39.9087,116.3975", "坐标<GPS>"),
        ("39°54'26\"N 116°23'29\"E", "<GPS>"),
        ("凌晨00：:35到", "凌晨00：:35到"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("192.168.1.1", "192.168.1.1"),
        ("改DNS为114.114.114.114", "改DNS为114.114.114.114"),
        ("固件V3.12.2.1", "固件V3.12.2.1"),
        ("12:30:45:10:20:30", "12:30:45:10:20:30"),
        ("权重0.1234, 0.5678", "权重0.1234, 0.5678"),
    ],
)
def test_public_addresses_and_coordinates_are_replaced(text, clean):
    assert personal_data.replace(text) == clean
