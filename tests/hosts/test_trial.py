def test_trial(control):
    played = control.play("site")
    print(played.output[-3000:])
    print(played.recap)
